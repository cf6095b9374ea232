//! Where the fields of lines of fixed width begin and end, as far as blanks between them tell.

/// Shortest line that is taken for one of fixed width.
const WIDTH_LEAST: usize = 16;

/// Stretches of characters, each the first from 1 and how many; `None` where the lines are not of one width, or nothing tells
/// one field from the next.
pub(super) fn stretches(lines: &[&str]) -> Option<Vec<(usize, usize)>> {
    let rows: Vec<Vec<char>> = lines.iter().map(|line| line.chars().collect()).collect();
    let width = rows.first()?.len();
    if rows.len() < 2 || width < WIDTH_LEAST || rows.iter().any(|row| row.len() != width) {
        return None;
    }
    let is_blank = |at: usize| rows.iter().all(|row| row.get(at).is_none_or(|c| c.is_whitespace()));
    // A field begins where a column is filled behind one that is blank in every line.
    let starts: Vec<usize> = (0..width).filter(|at| !is_blank(*at) && (*at == 0 || is_blank(at - 1))).collect();
    let ends = starts.iter().skip(1).copied().chain([width]);
    let found: Vec<(usize, usize)> = starts.iter().zip(ends).map(|(start, end)| (start + 1, end - start)).collect();
    (found.len() > 1).then_some(found)
}

/// What stands in a stretch of the line.
pub(super) fn cell(line: &str, (start, len): (usize, usize)) -> String {
    line.chars().skip(start - 1).take(len).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_in_every_line_tell_fields_apart() {
        let lines = ["SO-1  4711 blue pen    12", "SO-22 4712 ink          3"];

        let found = stretches(&lines).unwrap();

        let cells: Vec<String> = found.iter().map(|stretch| cell(lines[0], *stretch)).collect();
        assert_eq!(cells.first().map(String::as_str), Some("SO-1"));
        assert_eq!(cells.last().map(String::as_str), Some("12"));
        assert_eq!(found.iter().map(|(_, len)| len).sum::<usize>(), lines[0].len());
        assert_eq!(stretches(&["a,b", "c,d"]), None);
    }
}
