//! `restpg-edge train show` and `train remove`: what a run has done, and the end of what it kept.

use serde_json::json;

use super::output::{Output, visible, visible_lines};
use super::{Context, profile, train};
use crate::error::{Error, Exit, Explain};
use crate::profile::{ProfileStore, Run};
use crate::selftrain::{
    Dropped, ITEMS, Item, Journal, LEFT_OUT, NOTES, Notes, OUTCOME, Origin, Outcome, ROUND, Round,
    Sample, samples_stage,
};

/// How much of a text a line shows.
const TEXT_CHARS: usize = 60;

#[derive(Debug, thiserror::Error)]
enum ShowError {
    #[error("{user:?} has no training run")]
    NoRun { user: String },
    #[error("the run has no {what}")]
    Nothing { user: String, what: String },
}

impl Explain for ShowError {
    fn kind(&self) -> &'static str {
        "no_such_run"
    }

    fn exit(&self) -> Exit {
        Exit::NotFound
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::NoRun { user } => {
                Some(format!("`restpg-edge train --user {user:?}` begins one."))
            }
            Self::Nothing { user, .. } => Some(format!(
                "`restpg-edge train show --user {user:?}` says how far it is, and what is held out: \
                 of that no drafts are learned from."
            )),
        }
    }
}

fn last_run(store: &ProfileStore) -> Result<Run, Error> {
    let user = || ShowError::NoRun { user: store.user().to_string() };
    Ok(store.runs()?.pop().ok_or_else(user)?)
}

pub(super) fn remove(context: &Context, user: &str) -> Result<Option<Exit>, Error> {
    let mut store = profile::open(context, user)?;
    let _lock = train::lock(&store)?;
    let run = last_run(&store)?;
    store.remove_run(&run.id)?;
    if context.output.json {
        context.output.object(&json!({"user": user, "run": run.id, "now": "removed"}))?;
    } else {
        context.output.note(&format!("the run of {} is removed", run.begun_at));
    }
    Ok(None)
}

pub(super) fn show(
    context: &Context,
    user: &str,
    round: Option<u32>,
    request: Option<usize>,
) -> Result<Option<Exit>, Error> {
    let mut store = profile::open(context, user)?;
    let run = last_run(&store)?;
    let reasoning = run.settings["generate"]["reasoning"].as_bool().unwrap_or(true);
    let journal = Journal::new(&mut store, run.id.clone());
    let nothing = |what: &str| ShowError::Nothing { user: user.to_owned(), what: what.to_owned() };
    let items: Vec<Item> = journal.get(ITEMS, "")?.unwrap_or_default();
    let Some(round) = round else {
        overview(context, user, &run, &journal, &items)?;
        return Ok(None);
    };
    let stage = samples_stage(round, reasoning);
    let mut drafts: Vec<(usize, &Item, Vec<Sample>)> = Vec::new();
    for (number, item) in (1..).zip(&items) {
        if let Some(samples) = journal.get(&stage, &item.key)? {
            drafts.push((number, item, samples));
        }
    }
    if drafts.is_empty() {
        return Err(nothing(&format!("drafts of round {round}")).into());
    }
    let Some(wanted) = request else {
        all_drafts(&context.output, round, &drafts)?;
        return Ok(None);
    };
    let found = drafts.iter().find(|(number, ..)| *number == wanted);
    let (_, item, samples) =
        found.ok_or_else(|| nothing(&format!("drafts of request {wanted}")))?;
    drafts_of(&context.output, item, samples, journal.get(NOTES, &item.key)?.as_ref())?;
    Ok(None)
}

fn overview(
    context: &Context,
    user: &str,
    run: &Run,
    journal: &Journal<'_>,
    items: &[Item],
) -> Result<(), Error> {
    let output = &context.output;
    let outcome: Option<Outcome> = journal.get(OUTCOME, "")?;
    let mut notes: Vec<Option<Notes>> = Vec::with_capacity(items.len());
    for item in items {
        notes.push(journal.get(NOTES, &item.key)?);
    }
    let left_out: Vec<Dropped> = journal.get(LEFT_OUT, "")?.unwrap_or_default();
    let mut rounds: Vec<Round> = Vec::new();
    for round in 1.. {
        let Some(found) = journal.get(ROUND, &round.to_string())? else { break };
        rounds.push(found);
    }
    // What ended before rounds were kept apart has them there alone.
    if let Some(outcome) = outcome.as_ref().filter(|_| rounds.is_empty()) {
        rounds.clone_from(&outcome.rounds);
    }
    if output.json {
        return output.object(&json!({
            "user": user, "run": run, "requests": items, "notes": notes, "left_out": left_out,
            "rounds": rounds, "outcome": outcome,
        }));
    }
    let state = match (run.is_done, &outcome) {
        (true, Some(_)) => "done",
        (true, None) => "ended without a result",
        (false, _) => "not at its end: --resume goes on with it",
    };
    output.line(&format!("run of {}: {state}", run.begun_at))?;
    for (number, (item, notes)) in (1..).zip(items.iter().zip(&notes)) {
        let purpose = match (item.held_out, notes) {
            (true, _) => "held out".to_owned(),
            (false, None) => "learned".to_owned(),
            (false, Some(Notes { text: Some(_), tries, .. })) => format!("notes after {tries}"),
            (false, Some(Notes { faults, .. })) => format!("no good notes: {faults:?}"),
        };
        output.line(&format!("{number:>4}  {purpose:<16}  {}", line(&item.request)))?;
    }
    for Dropped { origin, why } in &left_out {
        let what = match origin {
            Origin::Document(id) => {
                let title = journal.store().document(id).ok().and_then(|it| it.title);
                visible(&title.unwrap_or_else(|| id.clone()))
            }
            Origin::Draft(id) => format!("draft {id}"),
        };
        output.line(&format!("left out, {}: {what}", why.in_words()))?;
    }
    rounds.iter().try_for_each(|it| self::round(output, it))
}

/// The first words of a text, on a line.
fn line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown: String = words.chars().take(TEXT_CHARS).collect();
    if shown.len() < words.len() {
        shown.push('…');
    }
    visible(&shown)
}

/// A line or two on what a round came to.
pub(super) fn round(output: &Output, round: &Round) -> Result<(), Error> {
    let Round { harvest, verdict, adapter, .. } = round;
    let said = if verdict.is_adopted { "adopted" } else { "not adopted" };
    output.line(&format!(
        "round {}: {} of {} drafts chosen, none of {} of {} requests, reward {:.3}, best of each \
         request {:.3}; adapter {adapter} {said}",
        round.round,
        harvest.chosen,
        harvest.samples,
        harvest.requests_without,
        harvest.requests,
        harvest.reward_mean,
        harvest.reward_best
    ))?;
    for it in &verdict.comparisons {
        output.line(&format!(
            "  {:+.3} [{:+.3}, {:+.3}] over {}, {:.1} % sure of {:.1} % needed",
            it.gain.mean,
            it.gain.low,
            it.gain.high,
            it.over(verdict.requests),
            it.confidence * 100.0,
            it.confidence_min * 100.0
        ))?;
    }
    for guard in verdict.guards.iter().filter(|guard| !guard.is_passed) {
        output
            .line(&format!("  {} {:.3}, at most {:.3}", guard.name, guard.found, guard.allowed))?;
    }
    Ok(())
}

fn all_drafts(
    output: &Output,
    round: u32,
    drafts: &[(usize, &Item, Vec<Sample>)],
) -> Result<(), Error> {
    if output.json {
        let of = |(number, item, samples): &(usize, &Item, Vec<Sample>)| json!({"request": number, "key": item.key, "drafts": samples});
        let all: Vec<_> = drafts.iter().map(of).collect();
        return output.object(&json!({"round": round, "requests": all}));
    }
    for (number, item, samples) in drafts {
        let rewards: Vec<String> = samples
            .iter()
            .map(|it| format!("{:.2}{}", it.reward, if it.is_chosen { "*" } else { " " }))
            .collect();
        output.line(&format!("{number:>4}  {}  {}", rewards.join(" "), line(&item.request)))?;
    }
    output.note("* is chosen");
    Ok(())
}

fn drafts_of(
    output: &Output,
    item: &Item,
    samples: &[Sample],
    notes: Option<&Notes>,
) -> Result<(), Error> {
    if output.json {
        return output.object(&json!({"request": item, "notes": notes, "drafts": samples}));
    }
    let (request, written) = (visible_lines(&item.request), visible_lines(&item.output));
    output.line(&format!("request\n{request}\n\nwritten by the person\n{written}"))?;
    if let Some(text) = notes.and_then(|notes| notes.text.as_ref()) {
        output.line(&format!("\nnotes\n{}", visible_lines(text)))?;
    }
    for sample in samples {
        let chosen = match sample {
            Sample { is_chosen: true, .. } => ", chosen",
            Sample { was_rejected: true, .. } => ", like a draft that was rejected",
            Sample { draft, .. } if !draft.is_whole() => ", came to no end of its own",
            _ => "",
        };
        let parts = serde_json::to_string(&sample.parts).unwrap_or_default();
        output.line(&format!("\nreward {:.3}{chosen}  {parts}", sample.reward))?;
        let (notes, answer) = (&sample.draft.reasoning, &sample.draft.answer);
        output.line(&format!("{}\n\n{}", visible_lines(notes), visible_lines(answer)))?;
    }
    Ok(())
}
