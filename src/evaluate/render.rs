//! A report as Markdown, as one self-contained page, and drafts in LongLaMP's file shape.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::aspects::{Aspects, Matched};
use super::fitted::Sampled;
use super::report::{Against, Gain, MEASURES, Row, SystemsReport};
use super::systems::{Case, Selection, Tries};
use crate::selftrain::Drafted;
use crate::statistics::Interval;

const BAR_WIDTH: f64 = 420.0;
const BAR_HEIGHT: f64 = 22.0;
const LABEL_WIDTH: f64 = 190.0;
const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
    table{border-collapse:collapse;font-size:13px;display:block;overflow-x:auto}\
    td,th{border:1px solid #ccc;padding:.2rem .5rem;text-align:right;white-space:nowrap}\
    td:first-child,th:first-child{text-align:left}\
    details{border:1px solid #ddd;padding:.4rem .8rem;margin:.4rem 0}\
    .drafts{display:grid;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr));gap:1rem}\
    .drafts div{white-space:pre-wrap;font-size:13px}.notes{color:#666}h4{margin:.4rem 0}";

/// A table of a report.
struct Table {
    title: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = format!("|{}\n", "---|".repeat(self.head.len()));
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}{rule}{rows}", line(&self.head))
    }

    fn html(&self) -> String {
        let line = |tag: &str, cells: &[String]| {
            let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell)));
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let rows: String = self.rows.iter().map(|row| line("td", row)).collect();
        format!("<table>{}{rows}</table>\n", line("th", &self.head))
    }
}

/// The tables of a report: the first of all measures, then of quality alone.
fn tables(report: &SystemsReport) -> Vec<Table> {
    let mut tables = vec![all_measures(report), by_task(report)];
    if !report.against.is_empty() {
        tables.extend([gains(report), gains_by_task(report)]);
    }
    tables.extend((!report.selection.is_empty()).then(|| selection(report)));
    tables.extend((!report.sampled.is_empty()).then(|| sampled(report)));
    tables
}

fn head(columns: &[&str]) -> Vec<String> {
    ["system"].iter().chain(columns).map(ToString::to_string).collect()
}

fn all_measures(report: &SystemsReport) -> Table {
    let measures = measures(report);
    let row = |row: &Row| {
        let cells = measures.iter().map(|name| cell(row, name));
        [row.system.clone()].into_iter().chain(cells).collect()
    };
    Table {
        title: "All measures".into(),
        head: head(&measures),
        rows: report.rows.iter().map(row).collect(),
    }
}

fn by_task(report: &SystemsReport) -> Table {
    let tasks: Vec<&str> = report.requests.keys().map(String::as_str).collect();
    let row = |row: &Row| {
        let cells = tasks.iter().map(|task| row.tasks.get(*task).map_or_else(String::new, short));
        [row.system.clone()].into_iter().chain(cells).collect()
    };
    Table {
        title: "Quality by task".into(),
        head: head(&tasks),
        rows: report.rows.iter().map(row).collect(),
    }
}

fn gains(report: &SystemsReport) -> Table {
    let other = report.against.first().map_or("", |it| it.other.as_str());
    let row = |it: &Against| {
        let counts = [it.all.wins, it.all.ties, it.all.losses].map(|count| count.to_string());
        [it.system.clone(), signed(&it.all.gain), percent(&it.all.relative)]
            .into_iter()
            .chain(counts)
            .collect()
    };
    Table {
        title: format!("Quality against {other}"),
        head: head(&["gain", "relative", "better", "alike", "worse"]),
        rows: report.against.iter().map(row).collect(),
    }
}

fn gains_by_task(report: &SystemsReport) -> Table {
    let other = report.against.first().map_or("", |it| it.other.as_str());
    let tasks: Vec<&str> = report.requests.keys().map(String::as_str).collect();
    let cell =
        |it: &Gain| format!("{}; {} / {} / {}", percent(&it.relative), it.wins, it.ties, it.losses);
    let row = |it: &Against| {
        let cells = tasks.iter().map(|task| it.tasks.get(*task).map_or_else(String::new, cell));
        [it.system.clone()].into_iter().chain(cells).collect()
    };
    Table {
        title: format!("Quality against {other} by task; requests better / alike / worse"),
        head: head(&tasks),
        rows: report.against.iter().map(row).collect(),
    }
}

fn selection(report: &SystemsReport) -> Table {
    let row = |(system, it): (&String, &Selection)| {
        vec![
            system.clone(),
            it.count.to_string(),
            format!("{:.3}", it.mean),
            format!("{:.3}", it.by_reward),
            format!("{:.3}", it.oracle),
            format!("{:+.2}", it.rank_correlation),
        ]
    };
    Table {
        title: "Quality that choosing among several drafts could reach".into(),
        head: head(&["drafts", "mean", "by reward", "best", "rank correlation"]),
        rows: report.selection.iter().map(row).collect(),
    }
}

fn sampled(report: &SystemsReport) -> Table {
    let row = |Sampled { system, round, harvest }: &Sampled| {
        let counts = [harvest.samples, harvest.chosen, harvest.requests_without];
        let rewards = [harvest.reward_mean, harvest.reward_best, harvest.reward_chosen];
        [system.clone(), round.to_string()]
            .into_iter()
            .chain(counts.map(|count| count.to_string()))
            .chain(rewards.map(|reward| format!("{reward:.3}")))
            .collect()
    };
    let columns = [
        "round",
        "drafts",
        "chosen",
        "requests without",
        "mean reward",
        "best of each request",
        "of the chosen",
    ];
    Table {
        title: "Drafts that were learned from".into(),
        head: head(&columns),
        rows: report.sampled.iter().map(row).collect(),
    }
}

/// The tables of a report, in Markdown.
#[must_use]
pub fn markdown(report: &SystemsReport) -> String {
    let mut text = format!("Requests: {}.\n\n", requests(report));
    for (place, table) in tables(report).iter().enumerate() {
        if place > 0 {
            text.push_str(&format!("\n{}:\n\n", table.title));
        }
        text.push_str(&table.markdown());
    }
    text
}

fn requests(report: &SystemsReport) -> String {
    let tasks = report.requests.iter().map(|(task, count)| format!("{task} {count}"));
    tasks.collect::<Vec<_>>().join(", ")
}

/// The measures that some system has, in order.
fn measures(report: &SystemsReport) -> Vec<&'static str> {
    let has = |name: &&str| report.rows.iter().any(|row| row.measures.contains_key(*name));
    MEASURES.iter().map(|(name, _)| *name).filter(has).collect()
}

fn cell(row: &Row, measure: &str) -> String {
    row.measures.get(measure).map_or_else(String::new, short)
}

fn short(interval: &Interval) -> String {
    format!("{:.3} [{:.3}, {:.3}]", interval.mean, interval.low, interval.high)
}

fn signed(interval: &Interval) -> String {
    format!("{:+.3} [{:+.3}, {:+.3}]", interval.mean, interval.low, interval.high)
}

fn percent(interval: &Interval) -> String {
    let Interval { mean, low, high } = interval;
    format!("{:+.1} % [{:+.1}, {:+.1}]", mean * 1e2, low * 1e2, high * 1e2)
}

/// A report with its drafts as one page that needs nothing else.
#[must_use]
pub fn page(title: &str, report: &SystemsReport, tries: &Tries) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{0}</title>\n\
         <style>{STYLE}</style>\n<h1>{0}</h1>\n<p>Requests: {1}.</p>\n",
        escaped(title),
        escaped(&requests(report))
    );
    html.push_str(
        "<h2>Quality</h2>\n<p>The mean of ROUGE-1, ROUGE-L and METEOR, macro average \
         over tasks, with 95 % intervals.</p>\n",
    );
    html.push_str(&bars(report));
    for table in tables(report) {
        html.push_str(&format!("<h2>{}</h2>\n{}", escaped(&table.title), table.html()));
    }
    html.push_str("<h2>Drafts</h2>\n");
    tries.cases.iter().for_each(|case| html.push_str(&drafts(case, &tries.systems)));
    html.push_str("</html>\n");
    html
}

/// The quality of each system as a bar with its interval.
fn bars(report: &SystemsReport) -> String {
    let quality = |row: &Row| row.measures.get("quality").copied().unwrap_or_default();
    let highest = report.rows.iter().map(|row| quality(row).high).fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| LABEL_WIDTH + BAR_WIDTH * value / highest;
    let height = BAR_HEIGHT * report.rows.len() as f64;
    let width = LABEL_WIDTH + BAR_WIDTH + 60.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         style=\"max-width:{width}px\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\" \
         aria-label=\"Quality of each system\">\n"
    );
    for (place, row) in report.rows.iter().enumerate() {
        let Interval { mean, low, high } = quality(row);
        let top = BAR_HEIGHT * place as f64;
        let middle = top + BAR_HEIGHT / 2.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LABEL_WIDTH}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#8ab\"/>\
             <path d=\"M{:.1} {middle:.1}H{:.1}\" stroke=\"#000\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{mean:.3}</text>",
            LABEL_WIDTH - 6.0,
            middle + 4.0,
            escaped(&row.system),
            top + 3.0,
            x(mean) - LABEL_WIDTH,
            BAR_HEIGHT - 6.0,
            x(low),
            x(high),
            x(high) + 6.0,
            middle + 4.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// What the person wrote, and beside it what each system did, with its notes.
fn drafts(case: &Case, systems: &[String]) -> String {
    let mut html = format!(
        "<details><summary>{}: {}</summary>\n<div class=\"drafts\"><div><h4>the person</h4>{}</div>\n",
        escaped(&case.task),
        escaped(&case.request),
        escaped(&case.reference)
    );
    for name in systems {
        let Some(tried) = case.systems.get(name) else { continue };
        let count = match tried.others.len() {
            0 => String::new(),
            others => format!(" on average of {}", others + 1),
        };
        let points = tried.scores.aspects.as_ref().map_or_else(String::new, points);
        let others = tried.others.iter().map(|it| format!("<hr>{}", draft(it)));
        let _ = writeln!(
            html,
            "<div><h4>{}, {:.3}{count}</h4>{}{points}{}</div>",
            escaped(name),
            tried.scores.quality,
            draft(&tried.draft),
            others.collect::<String>(),
        );
    }
    html.push_str("</div></details>\n");
    html
}

/// A draft after its notes.
fn draft(draft: &Drafted) -> String {
    let answer = escaped(&draft.answer);
    match draft.reasoning.as_str() {
        "" => answer,
        notes => format!("<div class=\"notes\">{}</div>\n{answer}", escaped(notes)),
    }
}

/// What the first draft says of the person's points, and what it adds.
fn points(aspects: &Aspects) -> String {
    let mut html = "<div class=\"notes\">".to_owned();
    for Matched { person, draft, likeness } in &aspects.points {
        let _ = match draft {
            Some(draft) => {
                writeln!(html, "= {} ~ {}, {likeness:.2}", escaped(person), escaped(draft))
            }
            None => writeln!(html, "- {}", escaped(person)),
        };
    }
    for added in &aspects.added {
        let _ = writeln!(html, "+ {}", escaped(added));
    }
    html.push_str("</div>");
    html
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The drafts of each system by task, and what the people wrote (`reference`), each in LongLaMP's
/// shape: by the name of a file without its ending.
#[must_use]
pub fn predictions(tries: &Tries) -> BTreeMap<String, Value> {
    let mut files: BTreeMap<String, (String, Vec<Value>)> = BTreeMap::new();
    for case in &tries.cases {
        let mut add = |system: &str, output: &str| {
            let name = format!("{}-{}", system.replace(", ", "-").replace(' ', "-"), case.task);
            let (_, golds) = files.entry(name).or_insert((case.task.clone(), Vec::new()));
            golds.push(json!({"id": case.key, "output": output}));
        };
        add("reference", &case.reference);
        for (system, tried) in &case.systems {
            add(system, &tried.draft.answer);
            for (place, other) in tried.others.iter().enumerate() {
                add(&format!("{system} draft {}", place + 2), &other.answer);
            }
        }
    }
    let file = |(name, (task, golds))| (name, json!({"task": task, "golds": golds}));
    files.into_iter().map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::scores::Scores;
    use crate::evaluate::systems::Tried;
    use crate::selftrain::Harvest;

    fn tries() -> Tries {
        let tried = |answer: &str| {
            let draft = Drafted {
                reasoning: "- Tone: <dry>".into(),
                answer: answer.into(),
                ..Drafted::default()
            };
            Tried {
                draft,
                others: Vec::new(),
                scores: Scores { quality: 0.25, ..Scores::default() },
            }
        };
        let case = Case {
            key: "ann q1".into(),
            task: "email".into(),
            request: "about <b>".into(),
            reference: "The & truth".into(),
            systems: BTreeMap::from([
                ("sft".to_owned(), tried("one")),
                ("rest-pg, best of 4".to_owned(), tried("two <script>")),
            ]),
        };
        let harvest = Harvest { samples: 24, chosen: 7, reward_mean: 0.5, ..Harvest::default() };
        Tries {
            systems: vec!["sft".into(), "rest-pg, best of 4".into()],
            cases: vec![case],
            selection: BTreeMap::new(),
            sampled: vec![Sampled { system: "rest-pg".into(), round: 2, harvest }],
        }
    }

    #[test]
    fn the_tables_have_every_system() {
        let text = markdown(&SystemsReport::of(&tries(), None));
        assert!(text.contains("| sft | 0.250 [0.250, 0.250]"), "{text}");
        assert!(text.contains("| rest-pg, best of 4 | +0.000 [+0.000, +0.000] | +0.0 %"), "{text}");
        assert!(!text.contains("judge"), "{text}");
        let table = "Drafts that were learned from:\n\n| system | round | drafts | chosen |";
        assert!(text.contains(table), "{text}");
        assert!(text.contains("| rest-pg | 2 | 24 | 7 | 0 | 0.500 |"), "{text}");
    }

    #[test]
    fn no_text_steps_out_of_the_page() {
        let tries = tries();
        let html = page("A & B", &SystemsReport::of(&tries, None), &tries);
        assert!(!html.contains("<script") && !html.contains("<dry>") && !html.contains("src="));
        assert!(html.contains("two &lt;script&gt;") && html.contains("The &amp; truth"));
        assert!(
            html.contains("<h2>Quality against sft</h2>")
                && html.contains("<td>rest-pg, best of 4</td>")
        );
    }

    #[test]
    fn every_draft_is_on_the_page_and_in_a_file() {
        let mut tries = tries();
        let tried = tries.cases[0].systems.get_mut("sft").unwrap();
        tried.others = vec![Drafted { answer: "uno <1>".into(), ..Drafted::default() }];
        let html = page("title", &SystemsReport::of(&tries, None), &tries);
        assert!(html.contains("0.250 on average of 2</h4>"), "{html}");
        assert!(html.contains("uno &lt;1&gt;"), "{html}");
        let file = &predictions(&tries)["sft-draft-2-email"];
        assert_eq!(file["golds"][0]["output"], "uno <1>");
    }

    #[test]
    fn predictions_have_the_shape_of_longlamp() {
        let files = predictions(&tries());
        let names: Vec<&String> = files.keys().collect();
        assert_eq!(names, ["reference-email", "rest-pg-best-of-4-email", "sft-email"]);
        assert_eq!(
            files["sft-email"],
            json!({"task": "email", "golds": [{"id": "ann q1", "output": "one"}]})
        );
    }
}
