//! Archives of images: both layouts, compressed and plain, and hostile ones.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use blackbox::{Cli, image_path, rows};
use serde_json::{Value, json};

/// The busybox image, taken apart: its configuration and its one layer.
struct Parts {
    config: PathBuf,
    layer: PathBuf,
}

fn take_apart(home: &Path) -> Parts {
    let folder = home.join("parts");
    fs::create_dir(&folder).unwrap();
    let tar =
        Command::new("tar").arg("-C").arg(&folder).arg("-xf").arg(image_path("busybox")).status().unwrap();
    assert!(tar.success());
    let manifest: Value = serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let path = |value: &Value| folder.join(value.as_str().unwrap());
    Parts { config: path(&manifest[0]["Config"]), layer: path(&manifest[0]["Layers"][0]) }
}

fn sha256(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap().to_owned()
}

/// A file packed by a program; nothing where this machine has no such program.
fn packed(program: &str, file: &Path) -> Option<Vec<u8>> {
    let output = Command::new(program).arg("-c").arg(file).stdin(Stdio::null()).output().ok()?;
    output.status.success().then_some(output.stdout)
}

/// Puts a file into the layout's blobs; tells its descriptor.
fn blob(layout: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let new = blobs.join("new");
    fs::write(&new, bytes).unwrap();
    let digest = sha256(&new);
    fs::rename(&new, blobs.join(&digest)).unwrap();
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() })
}

/// An OCI image layout (the OCI image specification, image-layout.md) of the busybox image under a name of its own.
fn layout(home: &Path, parts: &Parts, layer_type: &str, layer: &[u8]) -> PathBuf {
    let layout = home.join("layout");
    let _ = fs::remove_dir_all(&layout);
    let config = blob(&layout, "application/vnd.oci.image.config.v1+json", &fs::read(&parts.config).unwrap());
    let layer = blob(&layout, layer_type, layer);
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer] });
    let mut manifest = blob(&layout, kind, manifest.to_string().as_bytes());
    manifest["annotations"] = json!({ "io.containerd.image.name": "docker.io/library/laid-out:v2", "org.opencontainers.image.ref.name": "v2" });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(layout.join("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }).to_string()).unwrap();
    tar(&layout, &home.join("layout.tar"))
}

fn tar(folder: &Path, file: &Path) -> PathBuf {
    let status = Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(file).arg(".").status().unwrap();
    assert!(status.success());
    file.to_owned()
}

/// A docker-archive of one layer, given as a tar file.
fn archive_of(home: &Path, layer: &Path) -> PathBuf {
    let folder = home.join("archive");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    fs::copy(layer, folder.join("layer.tar")).unwrap();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["true"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(layer))] },
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let manifest =
        json!([{ "Config": "config.json", "RepoTags": ["hostile:latest"], "Layers": ["layer.tar"] }]);
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    tar(&folder, &home.join("archive.tar"))
}

/// One entry of a tar file, in the old format of POSIX (ustar): what tar(1) would not write by itself.
fn entry(name: &str, kind: u8, link: &str, data: &[u8]) -> Vec<u8> {
    let mut head = [0_u8; 512];
    head[..name.len()].copy_from_slice(name.as_bytes());
    head[100..108].copy_from_slice(b"0000777\0");
    head[108..116].copy_from_slice(b"0000000\0");
    head[116..124].copy_from_slice(b"0000000\0");
    head[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
    head[136..148].copy_from_slice(b"00000000000\0");
    head[148..156].copy_from_slice(b"        ");
    head[156] = kind;
    head[157..157 + link.len()].copy_from_slice(link.as_bytes());
    head[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut all = head.to_vec();
    all.extend_from_slice(data);
    all.resize(all.len().next_multiple_of(512), 0);
    all
}

fn works(cli: &Cli, image: &str) {
    assert_eq!(cli.ok(&["run", "--rm", image, "echo", "works"]), "works");
}

rows! {
    fn an_archive_may_be_compressed(node, cli) needs ["busybox"] {
        for program in ["gzip", "zstd", "xz", "bzip2"] {
            let Some(bytes) = packed(program, &image_path("busybox")) else { continue };
            cli.ok(&["rmi", "busybox", "alpine"]);
            let said = cli.run_with(&["load"], &bytes);
            if said.code != 0 && ["xz", "bzip2"].contains(&program) {
                // Refused by name is well; it must not be taken for something else.
                assert!(said.err.contains(program), "{said:?}");
                assert_eq!(node.load(&image_path("busybox")).code, 0);
                continue;
            }
            assert_eq!(said.code, 0, "{program}: {said:?}");
            works(&cli, "busybox");
        }
    }

    fn an_oci_layout_is_loaded_with_plain_and_with_compressed_layers(node, cli) needs ["busybox"] {
        let home = node.home();
        let parts = take_apart(&home);
        let kinds = [("tar", None), ("tar+gzip", Some("gzip")), ("tar+zstd", Some("zstd"))];
        for (kind, program) in kinds {
            let bytes = match program {
                None => Some(fs::read(&parts.layer).unwrap()),
                Some(program) => packed(program, &parts.layer),
            };
            let Some(bytes) = bytes else { continue };
            let file = layout(&home, &parts, &format!("application/vnd.oci.image.layer.v1.{kind}"), &bytes);
            let said = cli.run(&["load", "-i", &file.to_string_lossy()]);
            assert!(said.code == 0 && said.out.contains("laid-out:v2"), "{kind}: {said:?}");
            works(&cli, "laid-out:v2");
            // The same files as the archive's: the same layers, which are there once only.
            let layers = |image: &str| cli.ok(&["inspect", "--format", "{{.RootFS.Layers}}", image]);
            assert_eq!(layers("laid-out:v2"), layers("busybox"));
            cli.ok(&["rmi", "laid-out:v2"]);
        }
        works(&cli, "busybox");
    }

    fn a_layout_with_a_changed_blob_is_refused(node, cli) needs ["busybox"] {
        let home = node.home();
        let parts = take_apart(&home);
        let bytes = fs::read(&parts.layer).unwrap();
        let _ = layout(&home, &parts, "application/vnd.oci.image.layer.v1.tar", &bytes);
        let changed = home.join("layout/blobs/sha256").join(sha256(&parts.layer));
        let mut file = fs::OpenOptions::new().append(true).open(changed).unwrap();
        file.write_all(&[0; 512]).unwrap();
        let file = tar(&home.join("layout"), &home.join("changed.tar"));
        // A layer that is here already is not read again: it must be gone.
        cli.ok(&["rmi", "busybox", "alpine"]);
        let said = cli.run(&["load", "-i", &file.to_string_lossy()]);
        assert!(said.code == 1 && !said.err.is_empty(), "{said:?}");
        assert!(!cli.ok(&["images"]).contains("laid-out"));
    }

    fn a_hostile_layer_writes_nothing_outside_its_root(node, cli) needs ["busybox"] {
        let home = node.home();
        let victim = home.join("victim");
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("secret"), "secret").unwrap();
        let out = victim.to_string_lossy().into_owned();
        let up = "../".repeat(12);
        let attacks: [(&str, Vec<Vec<u8>>); 6] = [
            ("a name that climbs", vec![entry(&format!("{up}{}/new", &out[1..]), b'0', "", b"x")]),
            ("an absolute name", vec![entry(&format!("{out}/new"), b'0', "", b"x")]),
            ("a link, then a file through it", vec![entry("door", b'2', &out, b""), entry("door/new", b'0', "", b"x")]),
            ("a folder's link, changed", vec![entry("door", b'5', "", b""), entry("door", b'2', &out, b""), entry("door/new", b'0', "", b"x")]),
            ("a hard link to a file of the host", vec![entry("stolen", b'1', &format!("{out}/secret"), b"")]),
            ("a hard link through a link", vec![entry("door", b'2', &out, b""), entry("stolen", b'1', "door/secret", b""), entry("stolen", b'0', "", b"x")]),
        ];
        for (what, entries) in attacks {
            let file = home.join("layer.tar");
            let mut bytes = entries.concat();
            bytes.resize(bytes.len() + 1024, 0);
            fs::write(&file, &bytes).unwrap();
            let said = cli.run(&["load", "-i", &archive_of(&home, &file).to_string_lossy()]);
            assert!(said.code == 0 || !said.err.is_empty(), "{what}: {said:?}");
            let names: Vec<_> = fs::read_dir(&victim).unwrap().flatten().map(|entry| entry.file_name()).collect();
            assert_eq!(names, ["secret"], "{what}");
            assert_eq!(fs::read_to_string(victim.join("secret")).unwrap(), "secret", "{what}");
            // A hard link to the file would show as a second name of it.
            use std::os::unix::fs::MetadataExt as _;
            assert_eq!(fs::metadata(victim.join("secret")).unwrap().nlink(), 1, "{what}");
            if said.code == 0 {
                cli.ok(&["rmi", "hostile"]);
            }
        }
        works(&cli, "busybox");
    }

    fn an_image_is_loaded_run_and_saved_without_a_difference(node, cli) needs ["busybox"] {
        let home = node.home();
        let parts = take_apart(&home);
        let root = home.join("root");
        fs::create_dir(&root).unwrap();
        let run = |program: &str, words: &[&str]| {
            let status = Command::new(program).args(words).current_dir(&root).status().unwrap();
            assert!(status.success(), "{program} {words:?}");
        };
        run("tar", &["-xpf", &parts.layer.to_string_lossy()]);
        let odd = root.join(OsStr::from_bytes(b"caf\xe9"));
        fs::write(&odd, "no text").unwrap();
        run("touch", &["-d", "2001-02-03 04:05:06.789", "stamped"]);
        run("truncate", &["--size", "5G", "hole"]);
        let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        rustix::fs::setxattr(&odd, "security.capability", capability, rustix::fs::XattrFlags::empty()).unwrap();
        let layer = home.join("odd.tar");
        let file = layer.to_string_lossy().into_owned();
        run("tar", &["--format=posix", "--sparse", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-cf", &file, "."]);
        let wanted = sha256(&layer);
        assert_eq!(cli.run(&["load", "-i", &archive_of(&home, &layer).to_string_lossy()]).code, 0);
        let script = "cat caf*; stat -c ' %s %y' hole stamped";
        let said = cli.ok(&["run", "--name", "odd", "hostile", "sh", "-c", script]);
        assert!(said.starts_with("no text 5368709120 ") && said.contains("04:05:06.789"), "{said}");
        cli.ok(&["rm", "odd"]);
        let saved = home.join("saved.tar");
        cli.ok(&["save", "-o", &saved.to_string_lossy(), "hostile"]);
        let out = home.join("saved");
        fs::create_dir(&out).unwrap();
        let status = Command::new("tar").arg("-C").arg(&out).arg("-xf").arg(&saved).status().unwrap();
        assert!(status.success());
        let manifest: Value = serde_json::from_slice(&fs::read(out.join("manifest.json")).unwrap()).unwrap();
        assert_eq!(sha256(&out.join(manifest[0]["Layers"][0].as_str().unwrap())), wanted);
    }
}
