//! The recipes of the test images.

use serde_json::json;

use super::{Base, Recipe};

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Every image that the tests and the demonstration use.
pub(super) fn all() -> [Recipe; 4] {
    [busybox(), debian(), nginx(), redis()]
}

/// What images are measured with: some 300 MB in six layers, some of few large files, some of thousands of small ones.
pub(super) fn stack() -> Recipe {
    Recipe {
        name: "stack",
        tags: &["stack:latest"],
        base: Base::Unpacked,
        packages: &[
            "python3-numpy python3-django",
            "git",
            "libicu-dev",
            "vim-runtime",
            "cmake-data linux-libc-dev",
        ],
        files: &[],
        script: "",
        config: json!({ "Env": [PATH], "Cmd": ["bash"] }),
    }
}

fn busybox() -> Recipe {
    Recipe {
        name: "busybox",
        tags: &["busybox:latest", "alpine:latest"],
        base: Base::Busybox,
        packages: &[],
        files: &[],
        script: "",
        config: json!({ "Env": [PATH], "Cmd": ["sh"] }),
    }
}

fn debian() -> Recipe {
    Recipe {
        name: "debian",
        tags: &["debian:latest"],
        base: Base::Debian,
        packages: &[],
        files: &[],
        script: "",
        config: json!({ "Env": [PATH], "Cmd": ["bash"] }),
    }
}

fn nginx() -> Recipe {
    Recipe {
        name: "nginx",
        tags: &["nginx:latest"],
        base: Base::Debian,
        packages: &["nginx"],
        files: &[
            ("docker-entrypoint.sh", 0o755, include_str!("files/nginx-entrypoint.sh")),
            ("etc/nginx/nginx.conf", 0o644, include_str!("files/nginx.conf")),
            ("etc/nginx/conf.d/default.conf", 0o644, include_str!("files/nginx-default.conf")),
            ("usr/share/nginx/html/index.html", 0o644, include_str!("files/index.html")),
        ],
        script: "useradd --system --uid 101 --user-group --no-create-home --shell /usr/sbin/nologin nginx
            rm -f /etc/nginx/sites-enabled/default
            ln -sf /dev/stdout /var/log/nginx/access.log
            ln -sf /dev/stderr /var/log/nginx/error.log",
        config: json!({
            "Env": [PATH],
            "ExposedPorts": { "80/tcp": {} },
            "Entrypoint": ["/docker-entrypoint.sh"],
            "Cmd": ["nginx", "-g", "daemon off;"],
            "StopSignal": "SIGQUIT",
            "Labels": { "maintainer": "the test images of this project" },
        }),
    }
}

fn redis() -> Recipe {
    Recipe {
        name: "redis",
        tags: &["redis:latest", "redis:alpine"],
        base: Base::Debian,
        packages: &["redis-server"],
        files: &[("usr/local/bin/docker-entrypoint.sh", 0o755, include_str!("files/redis-entrypoint.sh"))],
        script: "mkdir -p /data && chown redis:redis /data",
        config: json!({
            "Env": [PATH],
            "ExposedPorts": { "6379/tcp": {} },
            "Volumes": { "/data": {} },
            "WorkingDir": "/data",
            "Entrypoint": ["docker-entrypoint.sh"],
            "Cmd": ["redis-server"],
        }),
    }
}
