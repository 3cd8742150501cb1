//! What kind of text is asked for, from `configs/tasks/*.toml`.

use serde::Deserialize;

const FILES: [(&str, &str); 5] = [
    ("free", include_str!("../configs/tasks/free.toml")),
    ("email", include_str!("../configs/tasks/email.toml")),
    ("abstract", include_str!("../configs/tasks/abstract.toml")),
    ("review", include_str!("../configs/tasks/review.toml")),
    ("topic", include_str!("../configs/tasks/topic.toml")),
];
const REQUEST: &str = "{request}";

/// A kind of text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its name; the file's.
    #[serde(skip)]
    pub name: &'static str,
    /// What it is, in a few words.
    pub description: String,
    instruction: String,
    /// Bound on the answer; `None`: the configured one.
    pub answer_tokens: Option<u32>,
    /// The kind of document that it is, as the profile names it; passages of it weigh more.
    pub kind: Option<String>,
    /// Passages to retrieve; `None`: the configured number.
    pub k: Option<u32>,
}

impl Task {
    /// The names of all tasks.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FILES.iter().map(|(name, _)| *name)
    }

    /// The task called `name`.
    ///
    /// # Panics
    /// Never: the compiled-in files are checked by a test.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (name, text) = FILES.iter().find(|(candidate, _)| *candidate == name)?;
        let mut task: Self = toml::from_str(text).expect("configs/tasks are tested");
        task.name = name;
        Some(task)
    }

    /// The task of no kind.
    #[must_use]
    pub fn free() -> Self {
        Self::named("free").unwrap_or_else(|| unreachable!("configs/tasks has the task free"))
    }

    /// What the model is asked to write.
    #[must_use]
    pub fn instruct(&self, request: &str) -> String {
        self.instruction.replacen(REQUEST, request, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_complete_and_names_the_request() {
        for name in Task::names() {
            let task = Task::named(name).unwrap();
            assert_eq!(task.name, name);
            assert!(task.instruct("a {request} b").ends_with("a {request} b"), "{name}");
        }
        assert!(Task::named("poem").is_none());
    }
}
