//! The parameters of a request, read one by one so that an error names the wrong one.

use std::fmt;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::api_error::ApiError;

/// A JSON object or a form in a request, and its path for error messages.
#[derive(Clone, Default)]
pub(crate) struct Params {
    path: String,
    values: Map<String, Value>,
}

/// Shows names without values: an external id or a service's environment may be among them.
impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Params").field("names", &self.values.keys()).finish_non_exhaustive()
    }
}

impl Params {
    /// Parses a request's body; an empty body has no parameters.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(values)) => Ok(Self { path: String::new(), values }),
            Ok(_) => Err(ApiError::serialization("The request's body is no JSON object.")),
            Err(error) => Err(ApiError::serialization(format!("The request's body cannot be read: {error}."))),
        }
    }

    /// Parses the body of a form; of a repeated field, the first counts.
    pub(crate) fn parse_form(body: &[u8]) -> Self {
        let mut values = Map::new();
        for (name, value) in form_urlencoded::parse(body) {
            values.entry(name).or_insert_with(|| value.into());
        }
        Self { path: String::new(), values }
    }

    /// Returns a field of a form.
    pub(crate) fn form_field(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// Returns a parameter of any type, unchecked.
    pub(crate) fn raw(&self, name: &str) -> Option<Value> {
        self.get(name).cloned()
    }

    pub(crate) fn text(&self, name: &str, length: RangeInclusive<usize>) -> Result<Option<&str>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| self.wrong_type(name, "a string"))?;
        self.check_length(name, text, &length)?;
        Ok(Some(text))
    }

    pub(crate) fn required_text(&self, name: &str, length: RangeInclusive<usize>) -> Result<&str, ApiError> {
        self.text(name, length)?.ok_or_else(|| self.missing(name))
    }

    pub(crate) fn text_list(&self, name: &str, length: RangeInclusive<usize>) -> Result<Option<Vec<String>>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let items = value.as_array().ok_or_else(|| self.wrong_type(name, "a list of strings"))?;
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            let text = item.as_str().ok_or_else(|| self.wrong_type(name, "a list of strings"))?;
            self.check_length(name, text, &length)?;
            texts.push(text.to_owned());
        }
        Ok(Some(texts))
    }

    pub(crate) fn integer(&self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_i64().ok_or_else(|| self.wrong_type(name, "an integer"))?;
        if range.contains(&number) {
            return Ok(Some(number));
        }
        Err(self.invalid(name, &format!("must be between {} and {}", range.start(), range.end())))
    }

    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong_type(name, "a boolean"))
    }

    pub(crate) fn object(&self, name: &str) -> Result<Option<Self>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let values = value.as_object().ok_or_else(|| self.wrong_type(name, "a structure"))?;
        Ok(Some(Self { path: self.path_of(name), values: values.clone() }))
    }

    pub(crate) fn objects(&self, name: &str) -> Result<Option<Vec<Self>>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let items = value.as_array().ok_or_else(|| self.wrong_type(name, "a list"))?;
        let objects = items.iter().enumerate().map(|(index, item)| {
            let path = format!("{}.{}", self.path_of(name), index + 1);
            let values = item.as_object().ok_or_else(|| self.wrong_type(name, "a list of structures"))?;
            Ok(Self { path, values: values.clone() })
        });
        objects.collect::<Result<Vec<_>, _>>().map(Some)
    }

    pub(crate) fn missing(&self, name: &str) -> ApiError {
        self.invalid(name, "must not be null")
    }

    /// Makes the error of AWS's validation for a parameter.
    pub(crate) fn invalid(&self, name: &str, constraint: &str) -> ApiError {
        ApiError::invalid_request(format!(
            "1 validation error detected: Value at '{}' failed to satisfy constraint: Member {constraint}",
            self.path_of(name)
        ))
    }

    /// Makes the error for a parameter that does not have the type of the API model.
    ///
    /// Source: AWS JSON services answer this code to a request that they cannot deserialize, before they validate it.
    fn wrong_type(&self, name: &str, kind: &str) -> ApiError {
        ApiError::serialization(format!("Value at '{}' is not {kind}.", self.path_of(name)))
    }

    fn check_length(&self, name: &str, text: &str, length: &RangeInclusive<usize>) -> Result<(), ApiError> {
        let count = text.chars().count();
        if count < *length.start() {
            let constraint = format!("must have length greater than or equal to {}", length.start());
            return Err(self.invalid(name, &constraint));
        }
        if count > *length.end() {
            return Err(self.invalid(name, &format!("must have length less than or equal to {}", length.end())));
        }
        Ok(())
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(json: &str) -> Params {
        Params::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn errors_name_the_wrong_parameter() {
        let params = params(r#"{"Name": 5, "Max": "x", "Tags": [{"Key": ""}], "List": ["a", 1]}"#);
        let tag = params.objects("Tags").unwrap().unwrap().remove(0);
        let (invalid, unreadable) = ("InvalidRequestException", "SerializationException");
        for (error, code, part) in [
            (params.required_text("Name", 1..=9).unwrap_err(), unreadable, "'Name' is not a string"),
            (
                params.required_text("Other", 1..=9).unwrap_err(),
                invalid,
                "'Other' failed to satisfy constraint: Member must not",
            ),
            (params.integer("Max", 1..=9).unwrap_err(), unreadable, "'Max'"),
            (params.text_list("List", 1..=9).unwrap_err(), unreadable, "'List'"),
            (
                tag.required_text("Key", 1..=9).unwrap_err(),
                invalid,
                "'Tags.1.Key' failed to satisfy constraint: Member must have",
            ),
        ] {
            assert_eq!(error.code, code);
            assert!(error.message.contains(part), "{}", error.message);
        }
    }

    #[test]
    fn a_body_that_is_not_an_object_is_a_serialization_error() {
        for body in ["{", "[]", "5", "nonsense"] {
            assert_eq!(Params::parse(body.as_bytes()).unwrap_err().code, "SerializationException", "{body}");
        }
        assert!(Params::parse(b"").unwrap().text("Any", 1..=9).unwrap().is_none());
    }

    #[test]
    fn debug_output_contains_no_values() {
        let shown = format!("{:?}", Params::parse_form(b"ExternalId=hush"));
        assert!(shown.contains("ExternalId") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn of_a_repeated_form_field_the_first_counts() {
        let params = Params::parse_form(b"Name=a%20b&Name=c&Other=");
        assert_eq!((params.form_field("Name"), params.form_field("Other")), (Some("a b"), Some("")));
        assert_eq!(params.form_field("name"), None);
    }

    #[test]
    fn null_counts_as_absent() {
        assert_eq!(params(r#"{"Name": null}"#).text("Name", 1..=9).unwrap(), None);
    }
}
