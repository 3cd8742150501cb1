//! Whether the machine runs on its battery, and how full that is, as Linux tells it; elsewhere
//! nothing is known.

use std::fs;
use std::path::Path;

const SUPPLIES: &str = "/sys/class/power_supply";

/// Where the power comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    /// The mains, or nothing is known.
    Mains,
    /// A battery that has so much left.
    Battery {
        /// Percent.
        percent: u32,
    },
}

pub(super) fn power() -> Power {
    power_in(Path::new(SUPPLIES))
}

/// As the files below `folder` say.
fn power_in(folder: &Path) -> Power {
    let Ok(supplies) = fs::read_dir(folder) else { return Power::Mains };
    let mut power = Power::Mains;
    for supply in supplies.flatten() {
        let read = |name: &str| fs::read_to_string(supply.path().join(name)).unwrap_or_default();
        let is = |name: &str, value: &str| read(name).trim() == value;
        // A mouse has a battery too, and says so.
        if is("type", "Battery") && is("status", "Discharging") && !is("scope", "Device") {
            let percent = read("capacity").trim().parse().unwrap_or(100);
            power = Power::Battery { percent };
        }
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supply(folder: &Path, name: &str, files: &[(&str, &str)]) {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        files.iter().for_each(|(file, text)| fs::write(folder.join(file), text).unwrap());
    }

    #[test]
    fn only_the_machines_own_battery_that_runs_down_counts() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(power_in(&folder.join("none")), Power::Mains);
        supply(folder, "AC", &[("type", "Mains\n"), ("online", "0\n")]);
        let mouse = [("type", "Battery\n"), ("status", "Discharging\n"), ("scope", "Device\n")];
        supply(folder, "mouse", &mouse);
        assert_eq!(power_in(folder), Power::Mains);
        let battery = |status| [("type", "Battery\n"), ("status", status), ("capacity", "41\n")];
        supply(folder, "BAT0", &battery("Charging\n"));
        assert_eq!(power_in(folder), Power::Mains);
        supply(folder, "BAT0", &battery("Discharging\n"));
        assert_eq!(power_in(folder), Power::Battery { percent: 41 });
    }
}
