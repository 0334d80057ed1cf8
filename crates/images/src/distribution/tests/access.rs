//! Users, those who say no name, and tokens.

use super::*;
use crate::distribution::Rights;
use crate::distribution::access::tests::quick_hash;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn site(anonymous: Rights) -> Site {
    let file = format!("ann:{}\nbob:{}:pull=*\n", quick_hash("apple"), quick_hash("bread"));
    Site::on(tempfile::tempdir().unwrap(), Access::users(&file, anonymous).unwrap())
}

#[test]
fn who_says_no_name_is_asked_for_one_and_gets_nothing() {
    let site = site(Rights::default());
    for path in ["/v2/", "/v2/a/tags/list", "/v2/_catalog", "/v2/token"] {
        let reply = site.get(path);
        assert_eq!(reply.refusal(), (401, "UNAUTHORIZED".to_owned()));
        assert_eq!(reply.header("www-authenticate"), "Basic realm=\"Bocage registry\"");
    }
    for wrong in [basic("ann", "bread"), basic("eve", "apple"), "Basic !".to_owned(), "Bearer x".to_owned()] {
        let reply = site.ask("GET", "/v2/", &[("authorization", &wrong)], b"");
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{wrong}");
    }
}

#[test]
fn a_user_may_do_what_the_file_says_and_no_more() {
    let site = site(Rights::default());
    let (ann, bob) = (basic("ann", "apple"), basic("bob", "bread"));
    let digest = digest_of(b"content");
    let push = format!("/v2/a/blobs/uploads/?digest={digest}");
    let ask =
        |who: &str, method: &str, path: &str| site.ask(method, path, &[("authorization", who)], b"content");
    assert_eq!(ask(&bob, "POST", &push).refusal(), (403, "DENIED".to_owned()));
    assert_eq!(ask(&ann, "POST", &push).status, StatusCode::CREATED);
    let blob = format!("/v2/a/blobs/{digest}");
    assert_eq!(site.ask("GET", &blob, &[("authorization", &bob)], b"").body, "content");
    assert_eq!(ask(&bob, "DELETE", &blob).status, StatusCode::FORBIDDEN);
    assert_eq!(ask(&ann, "DELETE", &blob).status, StatusCode::ACCEPTED);
}

#[test]
fn what_is_open_to_everybody_is_had_with_a_token_for_nobody() {
    let site = site(Rights::pull("public/*"));
    let reply = site.get("/v2/");
    assert_eq!(
        (reply.status.as_u16(), reply.header("www-authenticate")),
        (401, "Bearer realm=\"http://registry/v2/token\",service=\"Bocage registry\"")
    );
    let ann = basic("ann", "apple");
    let token = |headers: &[(&str, &str)]| {
        let reply = site.ask("GET", "/v2/token?service=x&scope=repository:a:pull", headers, b"");
        format!("Bearer {}", reply.json()["token"].as_str().unwrap())
    };
    let (anns, nobodys) = (token(&[("authorization", &ann)]), token(&[]));
    let wrong = site.ask("GET", "/v2/token", &[("authorization", &basic("ann", "x"))], b"");
    assert_eq!(
        (wrong.status.as_u16(), wrong.header("www-authenticate")),
        (401, "Basic realm=\"Bocage registry\"")
    );
    for name in ["public/a", "private/a"] {
        let path = format!("/v2/{name}/blobs/uploads/?digest={}", digest_of(b"x"));
        assert_eq!(site.ask("POST", &path, &[("authorization", &nobodys)], b"x").status.as_u16(), 401);
        assert_eq!(site.ask("POST", &path, &[("authorization", &anns)], b"x").status.as_u16(), 201);
    }
    let read = |name: &str, headers: &[(&str, &str)]| {
        site.ask("GET", &format!("/v2/{name}/blobs/{}", digest_of(b"x")), headers, b"").status.as_u16()
    };
    assert_eq!((read("public/a", &[]), read("private/a", &[])), (200, 401));
    assert_eq!(read("public/a", &[("authorization", &nobodys)]), 200);
    let seen = site.ask("GET", "/v2/_catalog", &[("authorization", &nobodys)], b"");
    assert_eq!(seen.json(), serde_json::json!({"repositories": ["public/a"]}));
    // A blob of a repository that one may not read is not mounted from it either.
    let mount = format!("/v2/public/b/blobs/uploads/?mount={}&from=private/a", digest_of(b"x"));
    assert_eq!(site.ask("POST", &mount, &[("authorization", &nobodys)], b"").status.as_u16(), 401);
}
