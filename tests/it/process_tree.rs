//! A command with all its descendants: run to its end, and what they held together.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(8);
/// A descendant that goes on for longer than this after the end has outlived the command.
const OUTLIVING_MAX: Duration = Duration::from_secs(5);

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Code(i32),
    Signal(i32),
    TimedOut,
    /// It ended, but a descendant went on.
    Outlived,
}

/// What a command did and what it took.
pub struct Outcome {
    pub end: End,
    pub stdout: String,
    pub stderr: String,
    pub wall_time: Duration,
    pub memory_bytes_peak: u64,
}

/// Runs the command; after `wall_time_max` it is killed.
pub fn run(mut command: Command, wall_time_max: Duration) -> Outcome {
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let (mut memory_bytes_peak, mut seen) = (0, Vec::new());
    let mut end = loop {
        let tree = Tree::below(child.id());
        memory_bytes_peak = tree.memory_bytes.max(memory_bytes_peak);
        seen = if tree.descendants.is_empty() { seen } else { tree.descendants };
        if let Some(status) = child.try_wait().unwrap() {
            break match status.code() {
                Some(code) => End::Code(code),
                None => End::Signal(status.signal().unwrap_or_default()),
            };
        }
        if start.elapsed() > wall_time_max {
            child.kill().unwrap();
            child.wait().unwrap();
            break End::TimedOut;
        }
        thread::sleep(POLL);
    };
    let wall_time = start.elapsed();
    let stdout = stdout.recv_timeout(OUTLIVING_MAX);
    let stderr = stderr.recv_timeout(OUTLIVING_MAX);
    let is_alone = end_together(&seen) && stdout.is_ok() && stderr.is_ok();
    if !is_alone && matches!(end, End::Code(_)) {
        end = End::Outlived;
    }
    let (stdout, stderr) = (stdout.unwrap_or_default(), stderr.unwrap_or_default());
    Outcome { end, stdout, stderr, wall_time, memory_bytes_peak }
}

/// All that comes out of `pipe`, sent once that has ended.
pub fn collect(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        // Nobody may be waiting any more.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// The descendants of a process at this moment.
pub fn descendants(root: u32) -> Vec<u32> {
    Tree::below(root).descendants
}

/// Whether all of `pids` end soon; what nobody has fetched the status of has ended too.
pub fn end_together(pids: &[u32]) -> bool {
    let start = Instant::now();
    while pids.iter().any(|pid| Stat::of(*pid).is_some_and(|stat| !stat.is_zombie)) {
        if start.elapsed() > OUTLIVING_MAX {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

/// A process and all its descendants.
struct Tree {
    descendants: Vec<u32>,
    /// What they hold now together with it, or the most that one of them ever held.
    memory_bytes: u64,
}

impl Tree {
    fn below(root: u32) -> Self {
        let children = children_by_parent();
        let (mut descendants, mut together, mut most) = (Vec::new(), 0, 0);
        let mut open = vec![(root, None::<Memory>)];
        while let Some((pid, parent)) = open.pop() {
            let memory = Memory::of(pid);
            // Between fork and exec a child shows its parent's memory as its own.
            let is_shared = parent
                .is_some_and(|parent| parent.address_space_bytes == memory.address_space_bytes);
            if !is_shared {
                together += memory.resident_bytes;
                most = memory.resident_bytes_peak.max(most);
            }
            for child in children.get(&pid).into_iter().flatten() {
                descendants.push(*child);
                open.push((*child, Some(memory)));
            }
        }
        Self { descendants, memory_bytes: together.max(most) }
    }
}

/// What one process holds.
#[derive(Clone, Copy)]
struct Memory {
    address_space_bytes: u64,
    resident_bytes: u64,
    resident_bytes_peak: u64,
}

impl Memory {
    fn of(pid: u32) -> Self {
        // A process that has just ended has none of these lines.
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let bytes = |name: &str| -> u64 {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            let kibibytes = value.and_then(|value| value.trim().strip_suffix(" kB"));
            kibibytes.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) << 10
        };
        Self {
            address_space_bytes: bytes("VmSize:"),
            resident_bytes: bytes("VmRSS:"),
            resident_bytes_peak: bytes("VmHWM:"),
        }
    }
}

/// What `/proc/PID/stat` says of a process.
struct Stat {
    is_zombie: bool,
    parent: u32,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        // The second field is a name in brackets, which may hold brackets.
        let (_, after_name) = stat.rsplit_once(')')?;
        let mut fields = after_name.split_whitespace();
        let is_zombie = matches!(fields.next()?, "Z" | "X");
        Some(Self { is_zombie, parent: fields.next()?.parse().ok()? })
    }
}

fn children_by_parent() -> HashMap<u32, Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(stat) = Stat::of(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    children
}
