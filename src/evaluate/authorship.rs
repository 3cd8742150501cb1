//! Whose text it sounds like: the person whose writings are nearest in character n-grams.
//!
//! Runs of three characters are what authorship attribution has found hardest to fake (Stamatatos,
//! 2009); each counts by how few of the people use it.

use std::collections::HashMap;

const CHARACTERS: usize = 3;

/// People by their n-grams.
#[derive(Debug)]
pub struct Authors {
    /// How rare each n-gram is among them.
    rarity: HashMap<String, f64>,
    /// Of each person, how much of each n-gram there is, as a unit vector.
    people: Vec<HashMap<String, f64>>,
}

impl Authors {
    /// Of people by all that they wrote, each.
    #[must_use]
    pub fn of(people: &[Vec<&str>]) -> Self {
        let counts: Vec<HashMap<String, f64>> =
            people.iter().map(|texts| counted(texts.iter().copied())).collect();
        let mut users: HashMap<&String, usize> = HashMap::new();
        counts.iter().flat_map(HashMap::keys).for_each(|gram| *users.entry(gram).or_default() += 1);
        let n_people = people.len() as f64;
        let rarity: HashMap<String, f64> = users
            .into_iter()
            .map(|(gram, count)| (gram.clone(), ((1.0 + n_people) / (1.0 + count as f64)).ln()))
            .collect();
        let people = counts.into_iter().map(|counts| weighed(counts, &rarity)).collect();
        Self { rarity, people }
    }

    /// Whose writings `text` is nearest to, among those at `places`; `None` where it is near nobody.
    #[must_use]
    pub fn nearest(&self, text: &str, places: &[usize]) -> Option<usize> {
        let text = weighed(counted([text]), &self.rarity);
        let likeness = |place: usize| -> f64 {
            let person = &self.people[place];
            text.iter().map(|(gram, weight)| weight * person.get(gram).unwrap_or(&0.0)).sum()
        };
        let found = places.iter().map(|&place| (likeness(place), place));
        found.filter(|it| it.0 > 0.0).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, place)| place)
    }
}

/// How often each run of characters stands in `texts`, dampened.
fn counted<'a>(texts: impl IntoIterator<Item = &'a str>) -> HashMap<String, f64> {
    let mut counts: HashMap<String, f64> = HashMap::new();
    for text in texts {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let characters: Vec<char> = text.chars().collect();
        for gram in characters.windows(CHARACTERS) {
            *counts.entry(gram.iter().collect()).or_default() += 1.0;
        }
    }
    counts.values_mut().for_each(|count| *count = count.ln_1p());
    counts
}

/// Each count times its rarity, as a unit vector.
fn weighed(
    mut counts: HashMap<String, f64>,
    rarity: &HashMap<String, f64>,
) -> HashMap<String, f64> {
    counts.retain(|gram, count| match rarity.get(gram) {
        Some(rarity) => {
            *count *= rarity;
            true
        }
        None => false,
    });
    let norm = counts.values().map(|it| it * it).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    counts.values_mut().for_each(|count| *count /= norm);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_nearest_to_who_writes_like_that() {
        let ann = vec!["Right then, the kettle, onwards!", "Right then: the bees. Onwards!"];
        let bo = vec!["Kind regards, the committee hereby states", "hereby, with kind regards"];
        let authors = Authors::of(&[ann, bo]);
        assert_eq!(authors.nearest("Right then, the shed. Onwards!", &[0, 1]), Some(0));
        assert_eq!(authors.nearest("We hereby send kind regards", &[0, 1]), Some(1));
        assert_eq!(authors.nearest("We hereby send kind regards", &[0]), None);
        assert_eq!(authors.nearest("", &[0, 1]), None);
    }
}
