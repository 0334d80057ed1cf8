//! An error and its causes as one line.
//!
//! Errors name the operation that failed and keep their cause in `source`. They are put together in one place,
//! where somebody reads them: `Chain(&error)` displays `operation: cause: cause of the cause`.

use std::error::Error;
use std::fmt;

/// Displays an error followed by its causes, separated by `: `.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Chain;
    use std::error::Error;
    use std::fmt;

    #[derive(Debug)]
    struct Outer(std::io::Error);
    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("open /x")
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_chain_names_the_operation_first_and_the_cause_last() {
        let error = Outer(std::io::Error::other("no such device"));
        assert_eq!(Chain(&error).to_string(), "open /x: no such device");
    }
}
