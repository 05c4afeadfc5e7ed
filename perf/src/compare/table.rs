//! A Markdown table of rows: the median of each contender with its range, and its ratio to Apache Kafka's, the losses named
//! like the wins.

use std::fmt::Write;

use super::Row;
use super::contender::Contender;
use super::sets::{Better, Shown, Work};
use crate::report::three_digits;

/// The table of all works that have rows.
pub(super) fn render(rows: &[Row], works: &[Work]) -> String {
    let contenders = contenders(rows);
    let baseline = contenders.iter().copied().find(|&one| one == Contender::Kafka);
    let mut out = String::from("| work | figure |");
    for &contender in &contenders {
        let _ = write!(out, " {} |", contender.title());
        if compared(contender, baseline) {
            let _ = write!(out, " ratio |");
        }
    }
    let judged = baseline.is_some() && contenders.contains(&Contender::Slipring);
    out.push_str(if judged { " asked of the ratio |\n" } else { "\n" });
    let columns = out.matches('|').count() - 1;
    let _ = writeln!(out, "|{}", "---|".repeat(columns));
    for work in works.iter().filter(|work| rows.iter().any(|row| row.work == work.name)) {
        for (index, shown) in work.shown.iter().enumerate() {
            let _ = write!(out, "| {} | {} |", if index == 0 { work.title } else { "" }, shown.title);
            write_figures(&mut out, rows, work, shown, &contenders, baseline);
            if judged {
                let ratio = ratio(rows, work, shown.figure, Contender::Slipring, baseline);
                let _ = write!(out, " {} |", verdict(shown, ratio));
            }
            out.push('\n');
        }
    }
    out
}

fn write_figures(
    out: &mut String,
    rows: &[Row],
    work: &Work,
    shown: &Shown,
    contenders: &[Contender],
    baseline: Option<Contender>,
) {
    for &contender in contenders {
        let values = values(rows, work, shown.figure, contender);
        let _ = write!(out, " {} |", cell(&values));
        if compared(contender, baseline) {
            let text = ratio(rows, work, shown.figure, contender, baseline)
                .map_or_else(String::new, |ratio| format!("{ratio:.2} {}", ahead(shown.better, ratio)));
            let _ = write!(out, " {text} |");
        }
    }
}

/// What is said under the table: how many runs stand behind it, which failed, and what else ran.
pub(super) fn notes(rows: &[Row]) -> String {
    let mut out = String::new();
    let rounds = rows.iter().map(|row| row.round).max().unwrap_or(0);
    let _ = writeln!(
        out,
        "Medians of {rounds} alternating rounds (lowest to highest), a fresh process and data directory for each run. {}.",
        rows.last().map_or_else(String::new, |row| row.machine.line())
    );
    let mut shares: Vec<f64> = rows.iter().filter_map(share_of_others).collect();
    if let Some(median) = median(&mut shares) {
        let worst = shares.last().copied().unwrap_or(median);
        let _ = writeln!(
            out,
            "Other processes took {:.1}% of the machine in the median run, {:.1}% in the worst.",
            median * 100.0,
            worst * 100.0
        );
        if median > DISTURBED {
            out.push_str("DISTURBED: the machine was not theirs; these figures prove nothing.\n");
        }
    }
    for row in rows {
        if let Some(error) = &row.error {
            let _ =
                writeln!(out, "FAILED: round {} {} {}: {error}", row.round, row.work, row.contender.title());
        }
    }
    out
}

/// The share of all cores that neither broker nor generator used.
fn share_of_others(row: &Row) -> Option<f64> {
    let (other, seconds) = (row.figures.get("other_cpu_s")?, row.figures.get("seconds")?);
    (seconds > 0.0).then(|| other / seconds / row.machine.cores.max(1) as f64)
}

fn contenders(rows: &[Row]) -> Vec<Contender> {
    let mut contenders: Vec<Contender> = rows.iter().map(|row| row.contender).collect();
    contenders.sort_unstable();
    contenders.dedup();
    contenders
}

fn compared(contender: Contender, baseline: Option<Contender>) -> bool {
    baseline.is_some_and(|baseline| baseline != contender) && contender != Contender::Sink
}

fn values(rows: &[Row], work: &Work, figure: &str, contender: Contender) -> Vec<f64> {
    let wanted = rows.iter().filter(|row| row.work == work.name && row.contender == contender);
    wanted.filter_map(|row| row.figures.get(figure)).collect()
}

fn ratio(
    rows: &[Row],
    work: &Work,
    figure: &str,
    contender: Contender,
    baseline: Option<Contender>,
) -> Option<f64> {
    let ours = median(&mut values(rows, work, figure, contender))?;
    let theirs = median(&mut values(rows, work, figure, baseline?))?;
    (theirs > 0.0).then_some(ours / theirs)
}

fn cell(values: &[f64]) -> String {
    let mut values = values.to_vec();
    let Some(median) = median(&mut values) else { return "-".to_owned() };
    match values.as_slice() {
        [lowest, .., highest] => {
            format!("{} ({}-{})", three_digits(median), three_digits(*lowest), three_digits(*highest))
        }
        _ => three_digits(median),
    }
}

fn ahead(better: Better, ratio: f64) -> &'static str {
    let gain = match better {
        Better::Higher => ratio,
        Better::Lower => 1.0 / ratio,
    };
    if gain > 1.0 + EVEN {
        "ahead"
    } else if gain < 1.0 - EVEN {
        "BEHIND"
    } else {
        "even"
    }
}

fn verdict(shown: &Shown, ratio: Option<f64>) -> String {
    let Some(asked) = shown.asked else { return String::new() };
    let (sign, met) = match shown.better {
        Better::Higher => (">=", ratio.is_some_and(|ratio| ratio >= asked)),
        Better::Lower => ("<=", ratio.is_some_and(|ratio| ratio <= asked)),
    };
    format!("{sign} {asked}: {}", if met { "met" } else { "MISSED" })
}

/// The middle value, or the mean of the two middle ones; sorts.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// Above this share of the machine for others, a comparison says nothing.
const DISTURBED: f64 = 0.1;
/// Ratios so close to 1 are called even.
const EVEN: f64 = 0.03;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::compare::sets::all_works;
    use crate::machine::Machine;
    use crate::report::Figures;

    fn row(round: usize, work: &str, contender: Contender, figures: &[(&str, f64)]) -> Row {
        let mut put = Figures::default();
        for (name, value) in figures {
            put.put(name, *value);
        }
        let known = all_works().into_iter().find(|known| known.name == work).unwrap();
        Row {
            at: 0,
            round,
            turn: 0,
            work: work.to_owned(),
            contender,
            workload: known.workload,
            figures: put,
            error: None,
            machine: Machine::of(Path::new(".")),
            commit: None,
        }
    }

    #[test]
    fn medians() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn wins_and_losses_and_what_is_asked() {
        let mut rows = Vec::new();
        for (round, kafka, slipring) in [(1, 600.0, 1300.0), (2, 700.0, 1400.0), (3, 650.0, 9000.0)] {
            rows.push(row(
                round,
                "batches-64k",
                Contender::Kafka,
                &[("mb_per_s", kafka), ("ack_p99_ms", 9.0)],
            ));
            rows.push(row(
                round,
                "batches-64k",
                Contender::Slipring,
                &[("mb_per_s", slipring), ("ack_p99_ms", 18.0)],
            ));
        }
        let table = render(&rows, &all_works());
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[0],
            "| work | figure | Apache Kafka 4.3.0, unflushed | Slipring, flushed | ratio | asked of the ratio |"
        );
        assert_eq!(lines[1], "|---|---|---|---|---|---|");
        assert!(
            lines[2].ends_with("| MB/s | 650 (600-700) | 1,400 (1,300-9,000) | 2.15 ahead | >= 1.5: met |"),
            "{}",
            lines[2]
        );
        assert_eq!(lines[3], "|  | broker CPU-s/GB | - | - |  | <= 0.5: MISSED |");
        assert!(lines[5].contains("| ack p99, ms | 9.00 (9.00-9.00) | 18.0 (18.0-18.0) | 2.00 BEHIND |  |"));
        assert_eq!(lines.len(), 2 + 6);
    }

    #[test]
    fn one_contender_alone_is_not_compared() {
        let rows = [row(1, "paced-1000", Contender::Sink, &[("e2e_p50_ms", 1.0)])];
        let table = render(&rows, &all_works());
        assert!(table.starts_with("| work | figure | nothing stored |\n|---|---|---|\n"), "{table}");
    }

    #[test]
    fn failures_and_disturbance_are_told() {
        let mut row = row(2, "one-record", Contender::Kafka, &[("other_cpu_s", 1.0), ("seconds", 10.0)]);
        row.machine.cores = 2;
        row.error = Some("it broke".to_owned());
        let mut disturbed = row.clone();
        disturbed.figures.put("other_cpu_s", 10.0);
        assert!(super::notes(&[disturbed]).contains("DISTURBED"));
        let notes = notes(&[row]);
        assert!(notes.contains("5.0% of the machine") && !notes.contains("DISTURBED"), "{notes}");
        assert!(notes.contains("FAILED: round 2 one-record Apache Kafka 4.3.0, unflushed: it broke"));
    }
}
