//! The table in `docs/contributing/design.md` is the one in `decide`, row by row.

const DECIDE: &str = include_str!("../decide.rs");
const DESIGN: &str = include_str!("../../../docs/contributing/design.md");

type Row = (String, String);

/// The rows in the comments between two texts of `decide.rs`: `// condition -> result`.
fn rows_between(from: &str, to: &str) -> Vec<Row> {
    let begin = DECIDE.find(from).unwrap_or_else(|| panic!("decide.rs has no '{from}'"));
    let section = &DECIDE[begin..];
    let section = &section[..section.find(to).unwrap()];
    let comments = section.lines().filter_map(|line| line.split_once("// ")?.1.split_once(" -> "));
    comments.map(|(condition, result)| (condition.trim().to_owned(), result.trim().to_owned())).collect()
}

fn rows_of_the_code() -> Vec<Row> {
    let mut rows = rows_between("const GUARDS", "];");
    rows.extend(rows_between("Target::Existing(arn) =>", "};"));
    rows.extend(rows_between("const ARN_GUARDS", "];"));
    rows.extend(rows_between("match evidence.object.phase() {", "\n}\n"));
    rows
}

fn rows_of_the_page() -> Vec<Row> {
    let table =
        DESIGN.split_once("| condition | result |\n|---|---|\n").expect("the table in docs/contributing/design.md").1;
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.trim_matches('|').split_once(" | ").expect("two cells"));
    let plain = |cell: &str| cell.replace('`', "").trim().to_owned();
    cells.map(|(condition, result)| (plain(condition), plain(result))).collect()
}

#[test]
fn the_table_in_the_design_page_is_that_of_decide() {
    let (code, page) = (rows_of_the_code(), rows_of_the_page());
    assert_eq!(code.len(), 24, "a row without a comment: {code:#?}");
    for (code, page) in code.iter().zip(&page) {
        assert_eq!(code, page);
    }
    assert_eq!(code.len(), page.len());
}
