//! The volumes of the node that only remembers: one without a name of its own, and one that a container has.

use super::*;
use model::{VolumeIntent, VolumeSpec};
use std::collections::BTreeMap;

pub(crate) fn volume(name: &str, containers: usize) -> Volume {
    let spec = VolumeSpec { anonymous: true, ..VolumeSpec::default() };
    let container: ContainerId = CONTAINER.parse().unwrap();
    Volume {
        intent: VolumeIntent { name: name.into(), created: Time::from_unix_seconds(1), spec },
        path: format!("/volumes/{name}"),
        containers: vec![container; containers - 1],
        bytes: Some(7),
    }
}

fn found(name: &str) -> Result<Volume, Error> {
    match name {
        "gone" => Err(Error::not_found("get gone: no such volume")),
        name => Ok(volume(name, 1)),
    }
}

impl Volumes for Node {
    fn create(&self, new: NewVolume) -> Answer<'_, Volume> {
        self.ask(format!("create volume {new:?}"));
        let mut made = volume(new.name.as_deref().unwrap_or("made-up"), 1);
        made.intent.spec = new.spec;
        ready(Ok(made))
    }
    fn list(&self, sizes: bool) -> Answer<'_, Vec<Volume>> {
        self.ask(format!("list volumes {sizes}"));
        let mut named = volume("named", 1);
        named.intent.spec =
            VolumeSpec { labels: BTreeMap::from([("colour".into(), "red".into())]), ..VolumeSpec::default() };
        ready(Ok(vec![named, volume("used", 2), volume("v1", 1)]))
    }
    fn inspect<'a>(&'a self, name: &'a str) -> Answer<'a, Volume> {
        ready(found(name))
    }
    fn remove<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        self.ask(format!("remove volume {name}"));
        ready(found(name).map(drop))
    }
    fn rename<'a>(&'a self, name: &'a str, new: &'a str) -> Answer<'a, ()> {
        self.ask(format!("rename volume {name} {new}"));
        ready(found(name).map(drop))
    }
    fn relabel<'a>(&'a self, name: &'a str, labels: BTreeMap<String, String>) -> Answer<'a, ()> {
        self.ask(format!("relabel volume {name} {labels:?}"));
        ready(found(name).map(drop))
    }
    fn copy<'a>(&'a self, name: &'a str, wanted: CopyVolume) -> Answer<'a, VolumeCopy> {
        self.ask(format!("copy volume {name} {wanted:?}"));
        ready(found(name).map(|volume| VolumeCopy {
            volume,
            bytes: 5,
            shared_bytes: 0,
            paused: Vec::new(),
            unpaused: Vec::new(),
        }))
    }
    fn backup<'a>(&'a self, name: &'a str, pause: bool) -> Answer<'a, Archive> {
        self.ask(format!("backup volume {name} {pause}"));
        ready(found(name).map(|_| Box::new(&b"packed"[..]) as Archive))
    }
    fn restore(&self, new: NewVolume, mut archive: Archive) -> Answer<'_, Volume> {
        Box::pin(async move {
            let mut bytes = Vec::new();
            archive.read_to_end(&mut bytes).await.unwrap();
            self.ask(format!("restore volume {new:?} {}", String::from_utf8_lossy(&bytes)));
            Ok(volume(new.name.as_deref().unwrap_or_default(), 1))
        })
    }
    fn pruned(&self, bytes: u64) {
        self.ask(format!("pruned volumes {bytes}"));
    }
}
