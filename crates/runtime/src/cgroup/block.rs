//! Limits of block devices as files: the part of the tables in `limits` that is about them.
//!
//! Three schedulers can tell groups apart, each with files of its own: CFQ (v1, before Linux 5.0), BFQ, and the cost
//! model of v2. Which of them a kernel has is only seen by its files, so a weight names another file for the
//! case that the first one is not there. Rates need no scheduler.

use super::limits::{Write, write};
use super::resources::{Block, Throttle};

/// What v1 is told.
pub(super) fn writes_v1(block: &Block) -> Vec<Write> {
    let mut writes = Vec::new();
    if let Some(weight) = block.weight {
        let other = write("blkio", "blkio.bfq.weight", weight.to_string());
        writes.push(write("blkio", "blkio.weight", weight.to_string()).or(other));
    }
    if let Some(weight) = block.leaf_weight {
        writes.push(write("blkio", "blkio.leaf_weight", weight.to_string()));
    }
    for device in &block.device_weights {
        let line = |weight: u16| format!("{}:{} {weight}", device.major, device.minor);
        if let Some(weight) = device.weight {
            let other = write("blkio", "blkio.bfq.weight_device", line(weight));
            writes.push(write("blkio", "blkio.weight_device", line(weight)).or(other));
        }
        if let Some(weight) = device.leaf_weight {
            writes.push(write("blkio", "blkio.leaf_weight_device", line(weight)));
        }
    }
    for (list, [file, _]) in rates(block) {
        let line = |one: &Throttle| format!("{}:{} {}", one.major, one.minor, one.rate);
        writes.extend(list.iter().map(|one| write("blkio", file, line(one))));
    }
    writes
}

/// What v2 is told.
pub(super) fn writes_v2(block: &Block) -> Vec<Write> {
    let mut writes = Vec::new();
    let weights = block
        .device_weights
        .iter()
        .filter_map(|device| Some((format!("{}:{}", device.major, device.minor), device.weight?)));
    let all = block.weight.map(|weight| ("default".to_owned(), weight));
    for (whom, weight) in all.into_iter().chain(weights) {
        let other = write("io", "io.weight", format!("{whom} {}", scaled(weight)));
        writes.push(write("io", "io.bfq.weight", format!("{whom} {weight}")).or(other));
    }
    for (list, [_, word]) in rates(block) {
        for Throttle { major, minor, rate } in list {
            let rate = if *rate == 0 { "max".to_owned() } else { rate.to_string() };
            writes.push(write("io", "io.max", format!("{major}:{minor} {word}={rate}")));
        }
    }
    writes
}

/// The lists of rates, each with its file of v1 and its word of v2.
fn rates(block: &Block) -> [(&[Throttle], [&'static str; 2]); 4] {
    [
        (&block.read_bytes_per_second, ["blkio.throttle.read_bps_device", "rbps"]),
        (&block.write_bytes_per_second, ["blkio.throttle.write_bps_device", "wbps"]),
        (&block.reads_per_second, ["blkio.throttle.read_iops_device", "riops"]),
        (&block.writes_per_second, ["blkio.throttle.write_iops_device", "wiops"]),
    ]
}

/// Weights from 10 to 1000 laid evenly over the cost model's from 1 to 10000.
fn scaled(weight: u16) -> u64 {
    1 + (u64::from(weight).clamp(10, 1000) - 10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::super::limits::Missing;
    use super::super::resources::DeviceWeight;
    use super::*;

    fn lines(writes: &[Write]) -> Vec<String> {
        writes.iter().map(|write| format!("{} {}", write.file, write.value)).collect()
    }

    #[test]
    fn rates_are_lines_of_four_files_or_words_of_one() {
        let one = |rate| vec![Throttle { major: 8, minor: 16, rate }];
        let block = Block {
            read_bytes_per_second: one(1 << 20),
            write_bytes_per_second: one(0),
            reads_per_second: one(100),
            writes_per_second: one(200),
            ..Block::default()
        };
        assert_eq!(
            lines(&writes_v1(&block)),
            [
                "blkio.throttle.read_bps_device 8:16 1048576",
                "blkio.throttle.write_bps_device 8:16 0",
                "blkio.throttle.read_iops_device 8:16 100",
                "blkio.throttle.write_iops_device 8:16 200",
            ]
        );
        assert_eq!(
            lines(&writes_v2(&block)),
            [
                "io.max 8:16 rbps=1048576",
                "io.max 8:16 wbps=max",
                "io.max 8:16 riops=100",
                "io.max 8:16 wiops=200"
            ]
        );
    }

    #[test]
    fn a_weight_goes_to_whichever_scheduler_there_is() {
        let device = DeviceWeight { major: 8, minor: 0, weight: Some(1000), leaf_weight: Some(20) };
        let block = Block { weight: Some(10), device_weights: vec![device], ..Block::default() };
        let others = |writes: &[Write]| -> Vec<String> {
            let instead = writes.iter().filter_map(|write| match &write.missing {
                Missing::Instead(other) => Some(format!("{} {}", other.file, other.value)),
                _ => None,
            });
            instead.collect()
        };
        let v1 = writes_v1(&block);
        assert_eq!(
            lines(&v1),
            ["blkio.weight 10", "blkio.weight_device 8:0 1000", "blkio.leaf_weight_device 8:0 20"]
        );
        assert_eq!(others(&v1), ["blkio.bfq.weight 10", "blkio.bfq.weight_device 8:0 1000"]);
        let v2 = writes_v2(&block);
        assert_eq!(lines(&v2), ["io.bfq.weight default 10", "io.bfq.weight 8:0 1000"]);
        assert_eq!(others(&v2), ["io.weight default 1", "io.weight 8:0 10000"]);
    }
}
