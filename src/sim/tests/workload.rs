//! The made-up load is what it is said to be.

use super::super::*;
use crate::sim::workload::{Stream, arrivals, gpu};

fn a_minute(tenant: &str, rate: f64) -> Stream {
    Stream { tenant: tenant.into(), rate, from: Duration::from_secs(1), until: Duration::from_secs(61) }
}

#[test]
fn lengths_and_gaps_are_as_promised_and_the_same_each_time() {
    let all = arrivals(&[a_minute("a", 1000.0), a_minute("b", 100.0)], 7);
    assert!((64_500..67_500).contains(&all.len()), "{}", all.len());
    assert!(all.is_sorted_by_key(|arrival| arrival.at) && all[0].at >= Time::from_millis(1000));
    let share = |wanted: &dyn Fn(&Arrival) -> bool| all.iter().filter(|a| wanted(a)).count() as f64 / all.len() as f64;
    assert!((share(&|a| &*a.tenant == "b") - 0.0909).abs() < 0.005);
    // Half of the queries, and hardly any document; half of the documents, and hardly any query.
    assert!((share(&|a| a.items[0].len < 12) - 0.35).abs() < 0.03, "{}", share(&|a| a.items[0].len < 12));
    assert!((share(&|a| a.items[0].len > 160) - 0.15).abs() < 0.01, "{}", share(&|a| a.items[0].len > 160));
    assert!(all.iter().all(|a| (3..=512).contains(&a.items[0].len)));
    let quiet = all.windows(2).filter(|pair| pair[1].at.since(pair[0].at) > Duration::from_millis(1)).count();
    // e^-1.1 of the gaps of 1100 arrivals a second.
    assert!((quiet as f64 / all.len() as f64 - 0.333).abs() < 0.01, "{quiet}");
    let again = arrivals(&[a_minute("a", 1000.0), a_minute("b", 100.0)], 7);
    assert!(all.iter().map(|a| (a.at, a.items[0].len)).eq(again.iter().map(|a| (a.at, a.items[0].len))));
}

#[test]
fn the_device_is_flat_then_linear_then_worse() {
    let cost = Cost { curves: vec![gpu()], ..Cost::default() };
    let ms = |rows, len| cost.time(rows, len, 1).as_secs_f64() * 1e3;
    assert!((ms(1, 8) - 2.5).abs() < 1e-6 && (ms(8, 50) - 2.5).abs() < 1e-6);
    assert!((ms(32, 128) - (0.8 + 0.004 * 4096.0 + 9.2e-7 * 32.0 * 128.0 * 128.0)).abs() < 1e-5);
}
