//! People of a data set as those whom a model learns from and others whom it is tried on.
//!
//! Of each task one person in three, by a hash of their names, is only tried on, in whatever task: what
//! was learned from a person says little of how well others are written for.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Person;
use super::dataset::{next_other, sample};
use super::profiles::{Profile, Profiles};
use crate::config::Config;
use crate::error::Error;
use crate::metrics::{StyleProfile, words};
use crate::paths::Paths;
use crate::profile::Hit;
use crate::retrieve::{Embed, Query, retrieve_to_write};
use crate::selftrain::{Item, Overlaps, RELATED_SHARE, TrainError, Workshop, fits};
use crate::task::Task;

/// Of the people of a task, one in so many is tried on.
const ONE_IN: usize = 3;

/// How many requests are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CohortPlan {
    /// Of each task, to learn from.
    pub train_queries: usize,
    /// Of each task, to be tried on.
    pub test_queries: usize,
    /// Of each task, left out before those that are tried on: what settings were chosen on.
    pub skipped: usize,
}

/// The requests of a cohort.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cohort {
    /// Learned from.
    pub train: Vec<Item>,
    /// Tried on.
    pub test: Vec<Item>,
    /// The same with passages of another person, of the same task where there is one; none where there
    /// is nobody else.
    pub misled: Vec<Item>,
}

/// The requests of `people`; their profiles are built in `scratch`, encrypted.
///
/// # Errors
/// [`TrainError::Stopped`] when `interrupt` is set, the store's or the embedding model's.
pub fn cohort(
    people: &[Person],
    plan: &CohortPlan,
    config: &Config,
    embedder: Option<&dyn Embed>,
    scratch: &Paths,
    interrupt: &AtomicBool,
    on_progress: &mut dyn FnMut(usize, usize),
) -> Result<Cohort, Error> {
    let (learned_from, tried_on) = split(people);
    let usable: Vec<Person> = people.iter().map(|person| with_usable(person, config)).collect();
    let of = |places: &[usize]| -> Vec<Person> {
        let is_there = |place: &usize| places.contains(place);
        let empty = |person: &Person| Person { queries: Vec::new(), ..person.clone() };
        let keep = |(place, person): (usize, &Person)| {
            if is_there(&place) { person.clone() } else { empty(person) }
        };
        usable.iter().enumerate().map(keep).collect()
    };
    let (train_people, test_people) = (of(&learned_from), of(&tried_on));
    let train = sample(&train_people, 0, plan.train_queries);
    let test = sample(&test_people, plan.skipped, plan.test_queries);
    let total = train.len() + test.len();
    let chunk_tokens = config.ingest.chunk_tokens as usize;
    let profiles = Profiles::new(people, embedder, chunk_tokens, scratch, interrupt);
    let mut makings = Makings { people: &usable, config, embedder, profiles };
    let mut cohort = Cohort::default();
    for (done, &(person, query)) in train.iter().enumerate() {
        go_on(interrupt)?;
        on_progress(done, total);
        cohort.train.extend(makings.item(person, query, person, false)?);
    }
    for (done, &(person, query)) in test.iter().enumerate() {
        go_on(interrupt)?;
        on_progress(train.len() + done, total);
        let own = makings.item(person, query, person, true)?;
        let Some(other) = next_other(people, person, |place| tried_on.contains(&place)) else {
            cohort.test.extend(own);
            continue;
        };
        let misled = makings.item(person, query, other, true)?;
        if let (Some(own), Some(misled)) = (own, misled) {
            cohort.test.push(own);
            cohort.misled.push(misled);
        }
    }
    Ok(cohort)
}

fn go_on(interrupt: &AtomicBool) -> Result<(), TrainError> {
    if interrupt.load(Ordering::Relaxed) { Err(TrainError::Stopped) } else { Ok(()) }
}

/// The requests that the model has room for, and for whose texts an answer may be as long.
///
/// # Errors
/// The model's.
pub fn that_fits(cohort: Cohort, workshop: &Workshop<'_>) -> Result<Cohort, Error> {
    let model = workshop.model(None)?;
    let fits = |item: &Item| fits(workshop, &model, item);
    let mut fitting =
        Cohort { train: cohort.train.into_iter().filter(fits).collect(), ..Cohort::default() };
    let mut misled = cohort.misled.into_iter();
    for own in cohort.test {
        let misled = misled.next();
        if fits(&own) && misled.as_ref().is_none_or(fits) {
            fitting.test.push(own);
            fitting.misled.extend(misled);
        }
    }
    Ok(fitting)
}

/// The style of each person, by what they wrote before.
#[must_use]
pub fn styles(people: &[Person]) -> Vec<Option<StyleProfile>> {
    let of = |person: &Person| {
        StyleProfile::of(person.profile.iter().map(|document| document.text.as_str()))
    };
    people.iter().map(of).collect()
}

/// The places of those who are learned from, and of those who are tried on.
fn split(people: &[Person]) -> (Vec<usize>, Vec<usize>) {
    let mut tasks: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, person) in people.iter().enumerate() {
        tasks.entry(&person.task).or_default().push(place);
    }
    let user = |place: usize| people[place].user.as_str();
    // One who has several rows, of several tasks maybe, is on one side with all of them.
    let mut tried: HashSet<&str> = HashSet::new();
    for places in tasks.values() {
        let mut users: Vec<&str> = places.iter().map(|&place| user(place)).collect();
        users.sort_by_key(|user| Sha256::digest(user.as_bytes()).to_vec());
        users.dedup();
        users.truncate(users.len().div_ceil(ONE_IN));
        tried.extend(users);
    }
    let (tried_on, learned_from) =
        tasks.into_values().flatten().partition(|&place| tried.contains(user(place)));
    (learned_from, tried_on)
}

/// The person with the requests whose texts can be learned and written.
fn with_usable(person: &Person, config: &Config) -> Person {
    let (least, most) = (config.train.words_min as usize, config.train.words_max as usize);
    let mut person = person.clone();
    person.queries.retain(|query| (least..=most).contains(&words(&query.output).len()));
    person
}

/// The passages that are neither versions of `output` nor quoted in it: it may not be shown for itself.
fn unrelated(passages: Vec<Hit>, output: &str) -> Vec<Hit> {
    let overlaps = Overlaps::of(passages.iter().map(|hit| hit.text.as_str()));
    let related = overlaps.related(output, RELATED_SHARE);
    let places = passages.into_iter().enumerate();
    places.filter(|(place, _)| !related.contains(place)).map(|(_, hit)| hit).collect()
}

/// What items are made of.
struct Makings<'a> {
    people: &'a [Person],
    config: &'a Config,
    embedder: Option<&'a dyn Embed>,
    profiles: Profiles<'a>,
}

impl Makings<'_> {
    /// The item of a query with passages of `owner`; `None` where there are none.
    fn item(
        &mut self,
        person: usize,
        query: usize,
        owner: usize,
        held_out: bool,
    ) -> Result<Option<Item>, Error> {
        let Profile { store, vectors } = self.profiles.of(owner)?;
        let (writer, held) = (&self.people[person], &self.people[person].queries[query]);
        let task = Task::named(&writer.task).unwrap_or_else(Task::free);
        let settings = &self.config.retrieve;
        let vector = self.embedder.map(|embedder| embedder.query(&held.input)).transpose()?;
        let wanted = Query { text: &held.input, vector: vector.as_deref(), ..Query::default() };
        let k = settings.k as usize;
        let retrieve = |k: usize| -> Result<Vec<Hit>, Error> {
            let found = retrieve_to_write(store, vectors.as_ref(), &wanted, settings, k)?;
            Ok(found.into_iter().map(|found| found.hit).collect())
        };
        let mut passages = unrelated(retrieve(k)?, &held.output);
        if passages.len() < k {
            passages = unrelated(retrieve(2 * k)?, &held.output);
            passages.truncate(k);
        }
        let item = Item {
            key: format!("{} {} {}", writer.task, writer.user, held.id),
            request: held.input.clone(),
            task: task.name.to_owned(),
            output: held.output.clone(),
            passages,
            writer: person,
            documents: Vec::new(),
            versions: Vec::new(),
            held_out,
        };
        let item = if self.config.train.scrub { item.scrubbed() } else { item };
        Ok((!item.passages.is_empty()).then_some(item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::HeldOut;
    use crate::profile::NewDocument;

    static NEVER: AtomicBool = AtomicBool::new(false);

    fn config() -> Config {
        let none = std::path::Path::new("/nowhere.toml");
        let mut config = Config::load(none, false, std::iter::empty()).unwrap();
        config.train.words_min = 3;
        config
    }

    fn person(user: &str) -> Person {
        let document = |n: usize| NewDocument {
            key: format!("{user}{n}"),
            id: Some(format!("{user}{n}")),
            text: format!("{user} wrote about the kettle, number {n}."),
            ..NewDocument::default()
        };
        let query = |n: usize| HeldOut {
            id: format!("{user}-q{n}"),
            input: "about the kettle".into(),
            output: format!("{user} says more of it {n}"),
        };
        Person {
            user: user.into(),
            task: "email".into(),
            profile: (0..3).map(document).collect(),
            queries: (0..4).map(query).collect(),
        }
    }

    #[test]
    fn the_rows_of_one_person_stay_together() {
        let people: Vec<Person> = ["a", "b", "a", "c", "a", "b"].map(person).to_vec();
        let (learned_from, tried_on) = split(&people);
        let users = |places: &[usize]| {
            places
                .iter()
                .map(|&it| people[it].user.clone())
                .collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(users(&learned_from).len() + users(&tried_on).len(), 3);
        assert_eq!(users(&tried_on).len(), 1);
        // In another task too.
        let mails = people.iter().cloned();
        let reviews =
            ["c", "b", "d", "e"].map(|user| Person { task: "review".into(), ..person(user) });
        let people: Vec<Person> = mails.chain(reviews).collect();
        let (learned_from, tried_on) = split(&people);
        let both = |user: &str| {
            [&learned_from, &tried_on].map(|it| it.iter().any(|&place| people[place].user == user))
        };
        for user in ["a", "b", "c", "d", "e"] {
            let [is_learned_from, is_tried_on] = both(user);
            assert!(is_learned_from != is_tried_on, "{user}");
        }
        assert_eq!(learned_from.len() + tried_on.len(), people.len());
    }

    /// Passages of their own would be no control.
    #[test]
    fn the_only_one_who_is_tried_on_is_not_misled_by_themselves() {
        let people: Vec<Person> = ["a", "b", "c"].map(person).to_vec();
        let scratch = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(scratch.path())).unwrap();
        let plan = CohortPlan { train_queries: 2, test_queries: 2, skipped: 0 };
        let made = cohort(&people, &plan, &config(), None, &paths, &NEVER, &mut |_, _| {}).unwrap();
        assert_eq!((made.test.len(), made.misled.len()), (2, 0));
    }

    #[test]
    fn a_version_of_the_text_is_not_shown_for_it() {
        let text = "The kettle sings at dawn, and nobody but the cat gets up for it.";
        let people: Vec<Person> = ["a", "b", "c"]
            .map(|user| {
                let mut person = person(user);
                person.queries.truncate(1);
                person.queries[0].output = format!("{text} So says {user}.");
                person.profile.push(NewDocument {
                    key: format!("{user} version"),
                    text: format!("About the kettle. {text}"),
                    ..NewDocument::default()
                });
                person
            })
            .to_vec();
        let scratch = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(scratch.path())).unwrap();
        let plan = CohortPlan { train_queries: 2, test_queries: 1, skipped: 0 };
        let made = cohort(&people, &plan, &config(), None, &paths, &NEVER, &mut |_, _| {}).unwrap();
        for item in made.train.iter().chain(&made.test) {
            assert_eq!(item.passages.len(), 3, "the others are there");
            assert!(item.passage_texts().all(|text| !text.contains("sings")), "{item:?}");
        }
    }

    #[test]
    fn nobody_is_both_learned_from_and_tried_on() {
        let people: Vec<Person> = ["a", "b", "c", "d", "e", "f"].map(person).to_vec();
        let scratch = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(scratch.path())).unwrap();
        let plan = CohortPlan { train_queries: 6, test_queries: 4, skipped: 0 };
        let made = cohort(&people, &plan, &config(), None, &paths, &NEVER, &mut |_, _| {}).unwrap();
        assert_eq!((made.train.len(), made.test.len(), made.misled.len()), (6, 4, 4));
        let tried: Vec<usize> = made.test.iter().map(|item| item.writer).collect();
        assert!(made.train.iter().all(|item| !tried.contains(&item.writer) && !item.held_out));
        for (own, misled) in made.test.iter().zip(&made.misled) {
            let writer = &people[own.writer].user;
            assert!(own.passage_texts().all(|text| text.starts_with(writer)));
            assert!(misled.passage_texts().all(|text| !text.starts_with(writer)));
            assert_eq!((&own.key, own.held_out), (&misled.key, true));
        }
    }
}
