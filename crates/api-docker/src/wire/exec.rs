//! Processes added to a container.

use super::config::OneOrMany;
use super::wire;

wire! {
    pub struct ExecCreateRequest {
        pub user: String,
        pub privileged: bool,
        pub tty: bool,
        /// Rows and columns.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub console_size: Option<(u64, u64)>,
        pub attach_stdin: bool,
        pub attach_stderr: bool,
        pub attach_stdout: bool,
        pub detach_keys: String,
        pub env: Option<Vec<String>>,
        pub working_dir: String,
        pub cmd: OneOrMany,
    }

    pub struct ExecStartRequest {
        pub detach: bool,
        pub tty: bool,
        /// Rows and columns.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub console_size: Option<(u64, u64)>,
    }

    pub struct IdAnswer {
        pub id: String,
    }

    pub struct ExecInspect {
        #[serde(rename = "ID")]
        pub id: String,
        pub running: bool,
        pub exit_code: Option<i64>,
        pub process_config: ExecProcess,
        pub open_stdin: bool,
        pub open_stderr: bool,
        pub open_stdout: bool,
        pub can_remove: bool,
        #[serde(rename = "ContainerID")]
        pub container_id: String,
        pub detach_keys: String,
        pub pid: i32,
    }
}

/// The process of an exec. Docker spells these fields in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ExecProcess {
    pub tty: bool,
    pub entrypoint: String,
    pub arguments: Vec<String>,
    pub privileged: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
}
