//! What people type behind `--format`.

use super::*;
use serde_json::json;

fn render(template: &str, value: &Value) -> String {
    Template::parse(template)
        .and_then(|template| template.render(value))
        .unwrap_or_else(|error| format!("! {error}"))
}

#[test]
fn what_people_type_behind_format_works() {
    let value = json!({
        "Name": "/web", "State": {"Running": true, "Pid": 42},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}, "Ports": {"80/tcp": [{"HostPort": "8080"}]}},
        "Config": {"Env": ["A=1", "B=2"], "Labels": {"x": "y"}}
    });
    for (template, shown) in [
        ("{{.Name}} {{.State.Pid}}", "/web 42"),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "172.17.0.2"),
        ("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{json .Config.Env}}", "[\"A=1\",\"B=2\"]"),
        ("{{join .Config.Env \",\"}}", "A=1,B=2"),
        ("{{index .Config.Labels \"x\" | upper}}", "Y"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}", "x=y "),
        ("{{.Config.Env}} {{.State.Running}}", "[A=1 B=2] true"),
        ("{{printf \"%.3s|%d\" .Name .State.Pid}}", "/we|42"),
        (
            "{{len .Config.Env}}{{with .Nothing}}{{else}}{{end}}",
            "! template: map has no entry for key \"Nothing\"",
        ),
        ("{{- .Name -}} x", "/webx"),
        ("{{if eq .Name \"/web\"}}a{{else if true}}b{{end}}{{not false}}", "atrue"),
        ("{{slice .Name 1}} {{title \"one two\"}}", "web One Two"),
    ] {
        assert_eq!(render(template, &value), shown, "{template}");
    }
}

#[test]
fn what_is_no_template_is_refused() {
    for bad in ["{{", "{{.A", "{{if .A}}", "{{end}}", "{{nothing .A}}", "{{|}}"] {
        assert!(render(bad, &json!({"A": 1})).starts_with('!'), "{bad}");
    }
}

#[test]
fn a_header_shows_titles_whatever_is_done_to_the_values() {
    let titles = json!({"ID": "CONTAINER ID", "Names": "NAMES", "Labels": "LABELS"});
    let header = |text: &str| Template::parse(text).and_then(|template| template.header(&titles));
    assert_eq!(header("{{.ID}}: {{.Names}}\t{{.Label \"team\"}}").unwrap(), "CONTAINER ID: NAMES\tteam");
    assert_eq!(
        header("{{upper .ID}} {{json .Names}} {{.ID | lower}}").unwrap(),
        "CONTAINER ID NAMES CONTAINER ID"
    );
}

#[test]
fn printf_cuts_and_pads_as_c_does() {
    let value = json!({"Name": "web", "Pid": 42});
    for (template, shown) in [
        ("{{printf \"%-6s|%5d|%05d\" .Name .Pid .Pid}}", "web   |   42|00042"),
        ("{{printf \"%q %x %.2s %%\" .Name .Pid .Name}}", "\"web\" 2a we %"),
        ("{{printf \"%s %s\" .Name}}", "web %!s(MISSING)"),
        ("{{pad .Name 1 2}}|{{pad \"\" 1 2}}", " web  |"),
    ] {
        assert_eq!(render(template, &value), shown, "{template}");
    }
}
