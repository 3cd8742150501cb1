//! What systems are fitted to, and what a run of training has fitted already.

use serde::Serialize;

use super::systems::Variant;
use crate::error::{Error, Explain};
use crate::selftrain::{
    FITTED, Harvest, Item, Journal, NOTHING, ROUND, Round, Rounds, SFT, SFT_WITH_NOTES, VERDICT,
    Verdict, Workshop, round_name,
};

/// The adapters that were fitted; `None`: that system is not asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fitted {
    pub(super) sft: Option<Vec<u8>>,
    pub(super) sft_reasoning: Option<Vec<u8>>,
    pub(super) rest_em: Option<Vec<u8>>,
    pub(super) rest_pg: Option<Vec<u8>>,
    /// What the last two learned from.
    pub(super) sampled: Vec<Sampled>,
}

/// The drafts that a round of a system learned from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sampled {
    /// The system.
    pub system: String,
    /// Which round, from 1.
    pub round: u32,
    /// What they were worth.
    pub harvest: Harvest,
}

impl Fitted {
    /// Fits on `items` what the systems need, and keeps it in the journal.
    ///
    /// # Errors
    /// A model's, the trainer's or the store's.
    pub fn fit(
        workshop: &Workshop<'_>,
        journal: &mut Journal<'_>,
        items: &[Item],
        systems: &[Variant],
    ) -> Result<Self, Error> {
        let wants = |some: &[Variant]| some.iter().any(|it| systems.contains(it));
        let last = workshop.config.train.rounds;
        let mut fitted = Self::default();
        let plain = Rounds::new(workshop, items, false);
        let none = plain.notes(journal)?;
        if wants(&[Variant::Sft, Variant::RestEm]) {
            fitted.sft = Some(plain.fit_gold(journal, SFT, &none, false)?);
        }
        if wants(&[Variant::RestEm]) {
            let first = fitted.sft.clone().unwrap_or_default();
            fitted.rest_em =
                Some(fitted.rounds(Variant::RestEm, first, last, |round, current| {
                    plain.round(journal, &none, round, current)
                })?);
        }
        let with_notes = [Variant::SftReasoning, Variant::SftInformed];
        let with_rounds = [Variant::RestPg, Variant::RestPgMisled];
        if wants(&with_notes) || wants(&with_rounds) {
            let reasoned = Rounds::new(workshop, items, true);
            let notes = reasoned.notes(journal)?;
            let first = reasoned.fit_gold(journal, SFT_WITH_NOTES, &notes, true)?;
            fitted.sft_reasoning = Some(first.clone());
            if wants(&with_rounds) {
                fitted.rest_pg =
                    Some(fitted.rounds(Variant::RestPg, first, last, |round, current| {
                        reasoned.round(journal, &notes, round, current)
                    })?);
            }
        }
        Ok(fitted)
    }

    /// The adapter of the last round of `system`, which begins from `current`; a later one that finds
    /// nothing to learn is the end.
    fn rounds(
        &mut self,
        system: Variant,
        mut current: Vec<u8>,
        last: u32,
        mut fit: impl FnMut(u32, &[u8]) -> Result<(Vec<u8>, Harvest), Error>,
    ) -> Result<Vec<u8>, Error> {
        for round in 1..=last {
            let (next, harvest) = match fit(round, &current) {
                Err(error) if round > 1 && error.inner().kind() == NOTHING.kind() => break,
                other => other?,
            };
            current = next;
            self.sampled.push(Sampled { system: system.name().to_owned(), round, harvest });
        }
        Ok(current)
    }

    /// What a run of training has fitted so far, with the round that is shown of it: the last that was
    /// adopted, or where none was the last.
    ///
    /// # Errors
    /// The store's.
    pub fn of_run(journal: &Journal<'_>, rounds: u32) -> Result<(Self, Option<ShownRound>), Error> {
        let fitted = |name: &str| journal.bytes(FITTED, name);
        let mut of_run =
            Self { sft: fitted(SFT)?, sft_reasoning: fitted(SFT_WITH_NOTES)?, ..Self::default() };
        let mut shown = None;
        for reasoning in [false, true] {
            let Some(round) = ShownRound::of(journal, rounds, reasoning)? else { continue };
            let (system, adapter) = match reasoning {
                true => (Variant::RestPg, &mut of_run.rest_pg),
                false => (Variant::RestEm, &mut of_run.rest_em),
            };
            *adapter = fitted(&round_name(round.round, reasoning))?;
            for number in 1..=round.round {
                let Some(Round { harvest, .. }) = journal.get(ROUND, &number.to_string())? else {
                    break;
                };
                let system = system.name().to_owned();
                of_run.sampled.push(Sampled { system, round: number, harvest });
            }
            shown = Some(round);
        }
        Ok((of_run, shown))
    }
}

/// A round by which a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownRound {
    /// Which, from 1.
    pub round: u32,
    /// Whether its adapter was adopted.
    pub is_adopted: bool,
}

impl ShownRound {
    fn of(journal: &Journal<'_>, rounds: u32, reasoning: bool) -> Result<Option<Self>, Error> {
        let mut last = None;
        for round in (1..=rounds).rev() {
            let name = round_name(round, reasoning);
            let verdict: Option<Verdict> = journal.get(VERDICT, &name)?;
            if verdict.is_some_and(|verdict| verdict.is_adopted) {
                return Ok(Some(Self { round, is_adopted: true }));
            }
            if last.is_none() && journal.bytes(FITTED, &name)?.is_some() {
                last = Some(Self { round, is_adopted: false });
            }
        }
        Ok(last)
    }
}
