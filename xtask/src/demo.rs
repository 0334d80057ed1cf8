pub(crate) fn run() -> anyhow::Result<()> { Ok(()) }
pub(crate) fn as_root() -> anyhow::Result<()> { Ok(()) }
