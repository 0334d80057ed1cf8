//! `docker`'s commands that there are not yet: each "not yet" says why, and what does the job until then.

/// The first word of a command line, and what is told about it.
pub(crate) const COMMANDS: &[(&str, &str)] = &[
    ("build", "build it elsewhere and take it in: docker save NAME | bocage load"),
    ("builder", "nothing is built yet, so there is nothing to manage"),
    ("buildx", "build it elsewhere and take it in: docker save NAME | bocage load"),
    ("checkpoint", "a container that must wait can be frozen: bocage pause NAME"),
    ("compose", "start each container with bocage run"),
    ("config", "hand a file to the container: -v FILE:/PATH:ro"),
    ("context", "choose the daemon with -H, BOCAGE_HOST or DOCKER_HOST"),
    ("node", "there is one machine so far"),
    ("plugin", "there are no plugins"),
    ("secret", "hand a file to the container: -v FILE:/PATH:ro"),
    ("service", "start each container with bocage run"),
    ("stack", "start each container with bocage run"),
    ("swarm", "there is one machine so far"),
    ("trust", "images are not signed yet; bocage pull NAME@sha256:DIGEST brings just that one"),
    ("update", "limits are given when a container is made: bocage run --memory, --cpus, --restart"),
];

/// Why there is no such command yet.
pub(crate) fn why(word: &str) -> Option<&'static str> {
    COMMANDS.iter().find(|(name, _)| *name == word).map(|(_, why)| *why)
}
