//! Many drafts at once: what each becomes is its own affair.
//!
//! All in 32 bits, where batches of other sizes round so little that hardly a draw depends on it.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use restpg_edge::generate::{
    Clock, Draft, DraftId, Event, Order, Request, Slots, Timings, Usage, sample, write,
};
use restpg_edge::llama::{CacheType, Message, Model, Role, Sampling};
use restpg_edge::prompt::Prompt;
use restpg_edge::task::Task;

use crate::support::{Home, runtime};
use crate::tiny;

const ROOMY: Slots = Slots { drafts_max: 16, tokens_max: usize::MAX };

fn model(home: &Home, file: &tiny::Gguf) -> Model {
    let path = home.write("tiny.gguf", &file.to_bytes());
    Model::load(runtime(), &path).unwrap()
}

fn request(batch_tokens: u32) -> Request<'static> {
    Request {
        prompt: "",
        task: Task::named("free").unwrap(),
        k: 0,
        reasoning: true,
        reasoning_tokens: 24,
        answer_tokens: 16,
        context_tokens: 0,
        batch_tokens,
        cache: CacheType::F32,
        threads: 2,
        sampling: Sampling {
            temperature: 1.0,
            top_k: 20,
            top_p: 0.99,
            min_p: 0.0,
            repeat_penalty: 1.1,
            repeat_window_tokens: 16,
            dry_multiplier: 0.0,
            seed: 0,
        },
        prefixes: None,
    }
}

fn prompt(text: &str, marker: Option<&str>) -> Prompt {
    Prompt {
        messages: vec![Message { role: Role::User, text: text.into() }],
        opening: "-".into(),
        marker: marker.map(str::to_owned),
        passages_used: 0,
        truncated: Vec::new(),
        tokens: 0,
    }
}

/// Prompts of other lengths, with and without reasoning.
fn prompts() -> [Prompt; 4] {
    [
        prompt("a note about the kettle", Some("\n\n<passage>\n")),
        prompt(&"the shed door is mended and shut ".repeat(7), Some("\n\n<passage>\n")),
        prompt("x", None),
        prompt(&"come on saturday ".repeat(3), Some("\n")),
    ]
}

fn orders(prompts: &[Prompt], drafts: u32) -> Vec<Order<'_>> {
    let seeds = |first: u32| (first..first + drafts).collect();
    (0..)
        .zip(prompts)
        .map(|(index, prompt)| Order { prompt, notes: None, seeds: seeds(index * 100) })
        .collect()
}

fn run(model: &Model, orders: &[Order<'_>], slots: Slots, batch_tokens: u32) -> Vec<Vec<Draft>> {
    let clock = Clock { started: Instant::now(), timings: Timings::default() };
    let never = AtomicBool::new(false);
    let request = request(batch_tokens);
    let drafts = sample(model, &request, orders, slots, clock, &never, &mut |_, _| {}).unwrap();
    drafts.into_iter().map(|drafts| drafts.into_iter().map(Option::unwrap).collect()).collect()
}

/// What of a draft does not depend on the clock.
fn content(drafts: &[Vec<Draft>]) -> Vec<String> {
    let content = |draft: &Draft| {
        let Draft { reasoning, answer, usage, cut_off, interrupted, seed, timings: _, stopped } =
            draft;
        // What the prompt before it had in common with its own was not read again.
        let usage = Usage { cached_tokens: 0, ..*usage };
        format!("{seed} {reasoning:?} {answer:?} {usage:?} {cut_off} {stopped} {interrupted}")
    };
    drafts.iter().flatten().map(content).collect()
}

/// A draw that lies on the border between two tokens falls to either side as the kernels round: one
/// draft in twenty may differ. A draft that saw another's tokens, cells or draws would differ always.
#[track_caller]
fn assert_same(found: &[Vec<Draft>], expected: &[Vec<Draft>]) {
    let (found, expected) = (content(found), content(expected));
    assert_eq!(found.len(), expected.len());
    let differing = found.iter().zip(&expected).filter(|(found, expected)| found != expected);
    let differing: Vec<_> = differing.collect();
    assert!(differing.len() <= found.len() / 20, "{differing:#?}");
}

#[test]
fn a_draft_does_not_depend_on_how_many_are_written_at_once() {
    let home = Home::new();
    for file in [tiny::llama(), tiny::qwen2(), tiny::gemma3()] {
        let model = model(&home, &file.with_context(4096));
        let prompts = prompts();
        let orders = orders(&prompts, 5);
        let alone = run(&model, &orders, Slots { drafts_max: 1, tokens_max: 0 }, 512);
        assert_eq!(alone.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5, 5, 5]);
        assert_ne!(alone[0][0].reasoning, alone[0][1].reasoning);
        for drafts_max in [2, 3, 7, 16] {
            let slots = Slots { drafts_max, ..ROOMY };
            assert_same(&run(&model, &orders, slots, 512), &alone);
        }
        // Prompts and markers in pieces of a few tokens.
        assert_same(&run(&model, &orders, ROOMY, 16), &alone);
        // Less room than all would take: fewer at once.
        let slots = Slots { drafts_max: 16, tokens_max: 1024 };
        assert_same(&run(&model, &orders, slots, 512), &alone);
    }
}

#[test]
fn one_draft_is_what_it_is_among_others() {
    let home = Home::new();
    let model = model(&home, &tiny::llama().with_context(4096));
    let prompts = prompts();
    let among_others = run(&model, &orders(&prompts, 5), ROOMY, 512);
    let alone = |prompt: &Prompt, seed: u32| {
        let mut request = request(512);
        request.sampling.seed = seed;
        let (never, now) = (AtomicBool::new(false), Instant::now());
        write(&model, &request, prompt, now, Timings::default(), &never, &mut |_| {}).unwrap()
    };
    let each: Vec<Vec<Draft>> = prompts
        .iter()
        .zip(&among_others)
        .map(|(prompt, drafts)| drafts.iter().map(|draft| alone(prompt, draft.seed)).collect())
        .collect();
    assert_same(&each, &among_others);
}

/// The story: no reasoning is wanted, but its marker is, so that each draft writes something before
/// it asks for its first token. What it asks for then is what comes after that.
#[test]
fn a_draft_may_write_before_it_asks() {
    let home = Home::new();
    let model = model(&home, &tiny::llama().with_context(4096));
    let plain = prompt("a note about the kettle", None);
    let mut marked = plain.clone();
    marked.marker = Some("\n\n<passage>\n".into());
    let mut appended = plain.clone();
    appended.opening.push_str("\n\n<passage>\n");
    let prompts = [plain, marked, appended];
    let orders: Vec<Order<'_>> =
        prompts.iter().map(|prompt| Order { prompt, notes: None, seeds: vec![7, 8, 9] }).collect();
    let clock = Clock { started: Instant::now(), timings: Timings::default() };
    let never = AtomicBool::new(false);
    let request = Request { reasoning_tokens: 0, ..request(512) };
    let drafts = sample(&model, &request, &orders, ROOMY, clock, &never, &mut |_, _| {}).unwrap();
    let answers = |prompt: usize| -> Vec<&str> {
        drafts[prompt].iter().map(|draft| draft.as_ref().unwrap().answer.as_str()).collect()
    };
    assert_eq!(answers(1), answers(2));
    assert_ne!(answers(0), answers(1));
}

/// What is told of a draft is what becomes of it, in order, however the drafts are mixed.
#[test]
fn each_draft_is_told_by_itself() {
    let home = Home::new();
    let model = model(&home, &tiny::llama().with_context(4096));
    let prompts = prompts();
    let orders = orders(&prompts, 3);
    let mut told = vec![vec![String::new(); 3]; prompts.len()];
    let mut on_event = |id: DraftId, event: Event<'_>| {
        if let Event::Answer(text) = event {
            told[id.prompt][id.draft].push_str(text);
        }
    };
    let clock = Clock { started: Instant::now(), timings: Timings::default() };
    let never = AtomicBool::new(false);
    let drafts =
        sample(&model, &request(512), &orders, ROOMY, clock, &never, &mut on_event).unwrap();
    for (drafts, told) in drafts.iter().zip(&told) {
        for (draft, told) in drafts.iter().zip(told) {
            assert_eq!(&draft.as_ref().unwrap().answer, told);
        }
    }
}

/// The story: Ctrl-C while a long list of drafts is written. What has begun ends with what there
/// is; the rest never begins.
#[test]
fn an_interrupt_ends_what_runs_and_begins_nothing_more() {
    let home = Home::new();
    let model = model(&home, &tiny::always(3).with_context(4096));
    let prompts = prompts();
    let orders = orders(&prompts, 4);
    let interrupt = AtomicBool::new(false);
    let told = Cell::new(0);
    let mut on_event = |_: DraftId, event: Event<'_>| {
        if let Event::Answer(_) = event {
            told.set(told.get() + 1);
            interrupt.store(told.get() >= 3, Ordering::Relaxed);
        }
    };
    let clock = Clock { started: Instant::now(), timings: Timings::default() };
    let slots = Slots { drafts_max: 3, ..ROOMY };
    let request = Request { answer_tokens: 400, ..request(512) };
    let drafts =
        sample(&model, &request, &orders, slots, clock, &interrupt, &mut on_event).unwrap();
    let drafts: Vec<Option<Draft>> = drafts.into_iter().flatten().collect();
    let begun: Vec<&Draft> = drafts.iter().flatten().collect();
    assert!(!begun.is_empty() && begun.len() <= 4, "{}", begun.len());
    for draft in begun {
        assert!(draft.interrupted && draft.usage.answer_tokens < 100, "{draft:?}");
    }
    assert!(drafts.last().unwrap().is_none());
}

/// Notes that are given stand where the model's own would: what is written after them is the same.
#[test]
fn after_given_notes_only_the_answer_is_written() {
    let home = Home::new();
    let model = model(&home, &tiny::llama().with_context(4096));
    let prompt = prompt("a note about the kettle", Some("\n\n<passage>\n"));
    let notes = "- the shed door is mended\n- come on saturday";
    let seeds = vec![1, 2];
    let given = [Order { prompt: &prompt, notes: Some(notes), seeds: seeds.clone() }];
    let found = run(&model, &given, ROOMY, 512);
    // The same as a prompt that ends with them.
    let opening = format!("{notes}\n\n<passage>\n");
    let whole = Prompt { opening, marker: None, ..prompt.clone() };
    let expected = run(&model, &[Order { prompt: &whole, notes: None, seeds }], ROOMY, 512);
    for (found, expected) in found[0].iter().zip(&expected[0]) {
        assert_eq!(found.reasoning, notes);
        assert_eq!(found.answer, expected.answer);
        assert!(found.usage.reasoning_tokens > 0 && expected.usage.reasoning_tokens == 0);
    }
}

/// The model says one thing for ever; told not to repeat itself, it comes to something else.
#[test]
fn what_comes_again_and_again_is_made_hard_to_say() {
    let home = Home::new();
    let model = model(&home, &tiny::always(3).with_context(4096));
    let run_of = |dry_multiplier: f32| {
        let sampling = Sampling {
            temperature: 0.0,
            repeat_penalty: 1.0,
            dry_multiplier,
            ..request(512).sampling
        };
        let mut sampler = model.sampler(&sampling);
        let mut logits = vec![0.0; model.vocabulary_size()];
        logits[3] = 100.0;
        (0..40)
            .take_while(|_| {
                let token = sampler.sample(&logits, &HashSet::new()).unwrap();
                sampler.accept(token);
                token.0 == 3
            })
            .count()
    };
    assert_eq!(run_of(0.0), 40);
    // 0.8 x 1.75^n exceeds 100 for a run that is nine tokens longer than what may come again.
    assert_eq!(run_of(0.8), 13);
}
