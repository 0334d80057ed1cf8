//! Columns: as wide as their widest cell and three blanks, the last one as it is.

/// Blanks between two columns.
const GAP: usize = 3;
/// The least width of a column, gap included.
const WIDTH_MIN: usize = 10;

/// Lays rows out under a header.
pub(crate) fn lay_out(header: &[&str], rows: &[Vec<String>]) -> String {
    lay_out_wide(header, rows, WIDTH_MIN)
}

/// The same with columns of at least so many characters, gap included.
pub(crate) fn lay_out_wide(header: &[&str], rows: &[Vec<String>], width_min: usize) -> String {
    let columns = header.len();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        (cells.chain([header[column].chars().count()]).max().unwrap_or(0) + GAP).max(width_min)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    let header = header.iter().map(|title| (*title).to_owned()).collect::<Vec<_>>();
    for row in std::iter::once(&header).chain(rows) {
        for (column, cell) in row.iter().enumerate() {
            match widths.get(column) {
                Some(width) if column + 1 < row.len() => text.push_str(&format!("{cell:width$}")),
                _ => text.push_str(cell),
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "a long cell".to_owned(), "z".to_owned()]];
        assert_eq!(
            lay_out(&["ID", "COMMAND", "NAMES"], &rows),
            "ID        COMMAND       NAMES\na         a long cell   z\n"
        );
    }
}
