//! The file of `--accounts`: a YAML list of the accounts, each with its role and the namespaces that may use it.
//!
//! Everything in it is checked at the start, and an error names the line: an operator with half of its accounts, or with a
//! namespace misspelt, would hold objects for no visible reason.

use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use crate::core::accounts::{Account, AccountError, Accounts, ExternalId, Namespaces};
use crate::core::arn::Region;
use crate::core::text;

/// More than any list of accounts needs.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why the file was refused.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] std::io::Error),
    /// It is too long to be a list of accounts.
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// It lists nothing.
    #[error("it lists no account; leave --accounts out if the operator acts in its own account only")]
    Empty,
    /// A line is wrong.
    #[error("line {line}: {why}")]
    Line {
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong, and what to write.
        why: String,
    },
}

/// One entry as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    role: Spanned<String>,
    namespaces: Spanned<Vec<String>>,
    #[serde(default, deserialize_with = "written")]
    external_id: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "written")]
    regions: Option<Spanned<Vec<String>>>,
}

/// A member that is written has a value: an empty one would allow more than the same member with one.
fn written<'de, T: Deserialize<'de>, D: Deserializer<'de>>(member: D) -> Result<Option<T>, D::Error> {
    T::deserialize(member).map(Some)
}

/// Reads the file.
pub fn read(path: &Path) -> Result<Accounts, FileError> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_BYTES {
        return Err(FileError::TooLong);
    }
    parse(&text)
}

/// Parses the text of the file.
pub fn parse(text: &str) -> Result<Accounts, FileError> {
    let entries: Vec<Entry> = serde_saphyr::from_str(text).map_err(|error| not_a_list(&error))?;
    if entries.is_empty() {
        return Err(FileError::Empty);
    }
    let mut accounts = Accounts::default();
    for entry in entries {
        let line = entry.role.referenced.line();
        let account = account(entry)?;
        accounts.insert(account).map_err(|error| at(line, &error))?;
    }
    Ok(accounts)
}

fn account(entry: Entry) -> Result<Account, FileError> {
    let Entry { role, namespaces, external_id, regions } = entry;
    let external_id = external_id.map(|id| id.value.parse::<ExternalId>().map_err(|error| at(line(&id), &error)));
    Ok(Account {
        role: role.value.parse().map_err(|error: AccountError| at(line(&role), &error))?,
        namespaces: self::namespaces(&namespaces)?,
        external_id: external_id.transpose()?,
        regions: regions.map(|regions| self::regions(&regions)).transpose()?,
    })
}

fn namespaces(written: &Spanned<Vec<String>>) -> Result<Namespaces, FileError> {
    let refused = |why: &str| Err(FileError::Line { line: line(written), why: why.to_owned() });
    match written.value.as_slice() {
        [] => refused("namespaces is empty; write the namespaces that may use the account, or [\"*\"] for all"),
        [all] if all == "*" => Ok(Namespaces::All),
        names if names.iter().any(|name| name == "*") => {
            refused("namespaces has \"*\" beside names; \"*\" stands alone")
        }
        names => {
            let invalid = names.iter().find_map(|name| crate::cli::namespace(name).err().map(|why| (name, why)));
            invalid.map_or_else(
                || Ok(Namespaces::Only(names.to_vec())),
                |(name, why)| refused(&format!("'{}': {why}", text::excerpt(name))),
            )
        }
    }
}

fn regions(written: &Spanned<Vec<String>>) -> Result<Vec<Region>, FileError> {
    if written.value.is_empty() {
        let why = "regions is empty; leave it out to allow all regions that the operator serves".to_owned();
        return Err(FileError::Line { line: line(written), why });
    }
    written.value.iter().map(|region| region.parse().map_err(|error| at(line(written), &error))).collect()
}

fn line<T>(written: &Spanned<T>) -> u64 {
    written.referenced.line()
}

fn at(line: u64, error: &impl std::fmt::Display) -> FileError {
    FileError::Line { line, why: error.to_string() }
}

/// The text of the parser would quote the lines around the error, and with them external ids. In `externalId:x`, where a
/// space is missing, it takes the id for a part of the name.
fn not_a_list(error: &serde_saphyr::Error) -> FileError {
    let line = error.location().map_or(1, |location| location.line());
    let why = error.without_snippet().to_string();
    if let Some((_, unknown)) = why.split_once("unknown field `") {
        let name = unknown.split(['`', ':']).next().unwrap_or_default();
        let why = format!(
            "there is no member '{}'; an entry has role, namespaces, externalId and regions, each followed by a colon and a \
             space",
            text::excerpt(name)
        );
        return FileError::Line { line, why };
    }
    FileError::Line { line, why: text::message(&why) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = r#"# The accounts of production.
- role: arn:aws:iam::111122223333:role/apprunner-operator
  namespaces: [team-shop, team-jobs]
  externalId: prod-eu-1
- role: arn:aws:iam::444455556666:role/teams/apprunner-operator
  namespaces: ["*"]
  regions: [eu-west-1]
"#;

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn an_account_has_a_role_namespaces_an_external_id_and_regions() {
        let accounts = parse(THREE).unwrap();
        let [(first, shop), (second, all)] = accounts.iter().collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((first.as_str(), second.as_str()), ("111122223333", "444455556666"));
        assert_eq!(shop.namespaces, Namespaces::Only(vec!["team-shop".into(), "team-jobs".into()]));
        assert_eq!((shop.external_id.as_ref().unwrap().expose(), &shop.regions), ("prod-eu-1", &None));
        assert_eq!((&all.namespaces, all.external_id.is_none()), (&Namespaces::All, true));
        assert_eq!(all.regions.as_deref(), Some(["eu-west-1".parse().unwrap()].as_slice()));
        assert_eq!(all.role.name(), "apprunner-operator");
        // JSON is YAML, and an external id of digits is a text.
        let json = r#"[{"role": "arn:aws:iam::111122223333:role/a", "namespaces": ["a"], "externalId": "12345678"}]"#;
        assert!(parse(json).is_ok());
        for nothing in ["", "[]", "# nothing\n"] {
            assert!(error(nothing).contains("lists no account"));
        }
    }

    #[test]
    fn an_error_names_the_line_and_what_is_wrong() {
        let role = "- role: arn:aws:iam::111122223333:role/apprunner-operator";
        for (text, line, part) in [
            (format!("{THREE}{role}\n  namespaces: [a]\n"), 8, "account 111122223333 is listed twice"),
            (THREE.replace("externalId", "externalID"), 4, "externalID"),
            (THREE.replace("arn:aws:iam::1111", "arn:aws:iam::111"), 2, "is not the ARN of a role"),
            (THREE.replace("[\"*\"]", "[]"), 6, "namespaces is empty"),
            (THREE.replace("[\"*\"]", "[\"*\", a]"), 6, "stands alone"),
            (THREE.replace("team-jobs", "Team_Jobs"), 3, "'Team_Jobs': a namespace has"),
            (THREE.replace("[eu-west-1]", "[]"), 7, "leave it out"),
            (THREE.replace("[eu-west-1]", "[EU]"), 7, "is not the name of a region"),
            (format!("{role}\n"), 1, "namespaces"),
            (THREE.replace("[eu-west-1]", ""), 7, ""),
            (THREE.replace("prod-eu-1", ""), 4, ""),
            ("role: x\n".into(), 1, ""),
        ] {
            let error = error(&text);
            assert!(error.starts_with(&format!("line {line}: ")) && error.contains(part), "{text}\n{error}");
        }
    }

    #[test]
    fn no_error_shows_an_external_id() {
        for text in [
            THREE.replace("prod-eu-1", "hush hush"),
            THREE.replace("prod-eu-1", "{hush: hush}"),
            THREE.replace("externalId: prod-eu-1", "externalId: hush\n  typo: 1"),
            THREE.replace("externalId: prod-eu-1", "externalId: hush\n bad indentation"),
            "- {role: \"arn:aws:iam::111122223333:role/a\", namespaces: [a], externalId:hush}".to_owned(),
        ] {
            let error = error(&text);
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
