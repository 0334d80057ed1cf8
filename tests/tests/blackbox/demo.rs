//! `bocage demo`: shows that it works, without an image or a network at hand, as often as one likes.

use blackbox::{Client, Node, page, ready};

/// The addresses among the words of the demonstration.
fn urls(words: &str) -> Vec<&str> {
    words.split_whitespace().filter(|word| word.starts_with("http://")).collect()
}

#[test]
fn the_demonstration_serves_three_pages_twice_and_removes_them() {
    if !ready(Client::Bocage, &[]) {
        return;
    }
    let node = Node::start(&[]);
    let cli = node.cli(Client::Bocage);
    for round in 0..2 {
        let shown = cli.ok(&["demo"]);
        let urls = urls(&shown);
        assert_eq!(urls.len(), 3, "{shown}");
        for url in urls {
            assert!(page(url).is_some_and(|page| page.contains("Hello")), "{url} in round {round}");
        }
        assert_eq!(shown.matches(" ms").count(), 3, "the time of each start is told: {shown}");
        assert!(shown.contains("Try next") && shown.contains("demo --remove"), "{shown}");
        assert_eq!(cli.ok(&["ps", "-q"]).lines().count(), 3);
    }
    cli.ok(&["demo", "--remove"]);
    assert_eq!(cli.ok(&["ps", "-a", "-q"]), "");
    assert_eq!(cli.ok(&["images", "-q"]), "");
    // Removing what is not there is no fault.
    cli.ok(&["demo", "--remove"]);
    node.stop();
}
