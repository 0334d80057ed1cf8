use super::*;
use model::container::{MountSource, NetworkMode, RestartPolicy, Seccomp, VolumeMount};
use serde_json::{Value, json};

fn convert(body: Value) -> Result<(ContainerSpec, Vec<String>), String> {
    let request: CreateRequest = crate::wire::read_value(body).unwrap();
    container(request, 51).map_err(|error| error.message)
}

#[expect(clippy::needless_pass_by_value, reason = "each caller makes it for this call")]
fn host(fields: Value) -> Result<ContainerSpec, String> {
    convert(json!({"Image": "x", "HostConfig": fields})).map(|(spec, _)| spec)
}

#[test]
fn a_bare_request_has_dockers_defaults() {
    let (spec, warnings) = convert(json!({"Image": "x", "Cmd": null, "Entrypoint": null})).unwrap();
    assert_eq!(spec.network, NetworkMode::Attached);
    assert_eq!((spec.shm_bytes, spec.command, spec.entrypoint), (Some(64 << 20), None, None));
    assert!(warnings.is_empty());
    let sent = Sent::of(&spec.origin);
    assert_eq!(sent.host.runtime, "runc");
    assert_eq!(sent.host.ipc_mode, "private");
    assert_eq!(sent.host.log_config.kind, "json-file");
}

#[test]
fn one_empty_word_takes_the_entry_point_away_and_an_empty_list_does_not() {
    let entrypoint = |value: Value| convert(json!({"Image": "x", "Entrypoint": value})).unwrap().0.entrypoint;
    assert_eq!(entrypoint(json!([""])), Some(vec![]));
    assert_eq!(entrypoint(json!([])), None);
    assert_eq!(entrypoint(json!(["a"])), Some(vec!["a".to_owned()]));
}

#[test]
fn restart_policies_are_checked_in_dockers_words() {
    let policy = |name: &str, count: i64| {
        host(json!({"RestartPolicy": {"Name": name, "MaximumRetryCount": count}})).map(|spec| spec.restart)
    };
    assert_eq!(policy("on-failure", 3), Ok(RestartPolicy::OnFailure { max_retries: 3 }));
    assert_eq!(
        policy("x", 0).unwrap_err(),
        "invalid restart policy: unknown policy 'x'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
    );
    assert!(policy("always", 1).unwrap_err().contains("can only be used with 'on-failure'"));
}

#[test]
fn binds_are_paths_volumes_or_wrong() {
    let mount = |text: &str| host(json!({"Binds": [text]})).map(|mut spec| spec.mounts.remove(0));
    let read_only = mount("/a/:/b/../c:ro,z").unwrap();
    assert_eq!((read_only.target.as_str(), read_only.read_only), ("/c", true));
    assert!(matches!(read_only.source, MountSource::Bind { ref path, create: true, .. } if path == "/a"));
    assert!(matches!(
        mount("data:/b:nocopy").unwrap().source,
        MountSource::Volume(VolumeMount { copy: false, .. })
    ));
    assert_eq!(mount("/a:/b:fly").unwrap_err(), "invalid mode: fly");
    assert!(mount("./a:/b").unwrap_err().contains("use absolute path"));
    assert_eq!(mount(":/b").unwrap_err(), "invalid volume specification: ':/b'");
}

#[test]
fn two_mounts_at_one_place_are_refused_and_a_bind_replaces_a_volume() {
    let twice = host(json!({"Binds": ["/a:/x", "/b:/x/"]}));
    assert_eq!(twice.unwrap_err(), "Duplicate mount point: /x");
    let body = json!({"Image": "x", "Volumes": {"/x": {}, "/y": {}}, "HostConfig": {"Binds": ["/a:/x"]}});
    let spec = convert(body).unwrap().0;
    // Which of the paths want a volume is decided once all mounts are known, those of the image and of other containers too.
    assert_eq!((spec.mounts.len(), spec.volumes.len()), (1, 2));
}

#[test]
fn tmpfs_options_are_taken_apart() {
    let spec = host(json!({"Tmpfs": {"/run": "size=64m,mode=0755,noexec,ro"}})).unwrap();
    let source =
        MountSource::Tmpfs { size_bytes: Some(64 << 20), mode: Some(0o755), options: vec!["noexec".into()] };
    assert_eq!((&spec.mounts[0].source, spec.mounts[0].read_only), (&source, true));
}

#[test]
fn a_line_of_a_list_shows_what_was_sent() {
    let spec =
        host(json!({"Tmpfs": {"/run/": "size=64m"}, "NetworkMode": "none", "Binds": ["/a:/b"]})).unwrap();
    let shown = Shown::of(&spec.origin);
    assert_eq!(shown.network_mode(), Sent::of(&spec.origin).host.network_mode);
    assert_eq!(shown.network_mode(), "none");
    assert!(shown.has_tmpfs("/run") && !shown.has_tmpfs("/b"));
    for odd in ["", "{", "null", "{}", r#"{"host":{"NetworkMode":null,"Tmpfs":null}}"#] {
        let shown = Shown::of(&Origin(odd.to_owned()));
        assert_eq!((shown.network_mode(), shown.has_tmpfs("/run")), ("", false), "{odd}");
    }
}

#[test]
fn ports_may_be_ranges_on_both_sides() {
    let ports = |fields: Value| host(json!({"PortBindings": fields})).map(|spec| spec.ports);
    let one = ports(json!({"80/tcp": [{"HostIp": "", "HostPort": "8000-8010"}]})).unwrap();
    assert_eq!((one[0].host, one[0].first, one[0].last), (None, 8000, 8010));
    let two = ports(json!({"80-81/udp": [{"HostIp": "::1", "HostPort": "90-91"}]})).unwrap();
    assert_eq!(
        two.iter().map(|port| (port.inside.port, port.first)).collect::<Vec<_>>(),
        [(80, 90), (81, 91)]
    );
    assert!(ports(json!({"80/tcp": [{"HostPort": "x"}]})).unwrap_err().contains("invalid port"));
    assert!(ports(json!({"0": []})).is_err());
}

#[test]
fn ports_on_the_hosts_own_network_are_discarded_with_a_warning() {
    let body = json!({"Image": "x", "HostConfig": {"NetworkMode": "host", "PortBindings": {"80/tcp": [{}]}}});
    let (spec, warnings) = convert(body).unwrap();
    assert!(spec.ports.is_empty());
    assert_eq!(warnings, ["Published ports are discarded when using host network mode"]);
}

#[test]
fn a_hardware_address_comes_from_either_place() {
    let mac = |body: Value| convert(body).map(|(spec, warnings)| (spec.attachments[0].mac, warnings.len()));
    let of_endpoint = json!({"Image": "x", "NetworkingConfig": {"EndpointsConfig": {"default": {"MacAddress": "02:00:00:00:00:0a"}}}});
    assert_eq!(mac(of_endpoint), Ok((Some([2, 0, 0, 0, 0, 10]), 0)));
    assert_eq!(mac(json!({"Image": "x", "MacAddress": "02:00:00:00:00:0a"})).unwrap().1, 1);
    assert_eq!(mac(json!({"Image": "x", "MacAddress": "02:00"})).unwrap_err(), "invalid MAC address: 02:00");
    let both = json!({"Image": "x", "MacAddress": "02:00:00:00:00:0a",
        "NetworkingConfig": {"EndpointsConfig": {"bridge": {"MacAddress": "02:00:00:00:00:0b"}}}});
    assert!(mac(both).unwrap_err().contains("must match the endpoint-specific MAC address"));
    let elsewhere = json!({"Image": "x", "MacAddress": "02:00:00:00:00:0a",
        "NetworkingConfig": {"EndpointsConfig": {"mine": {}}}});
    assert!(mac(elsewhere).unwrap_err().starts_with("unable to migrate container-wide MAC address"));
    let hosts =
        json!({"Image": "x", "MacAddress": "02:00:00:00:00:0a", "HostConfig": {"NetworkMode": "host"}});
    assert_eq!(mac(hosts).unwrap_err(), "conflicting options: mac-address and the network mode");
}

#[test]
fn the_default_network_is_the_bridge_unless_others_are_named() {
    let networks = |body: Value| {
        let places = convert(body).unwrap().0.attachments;
        places.into_iter().map(|place| place.network).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(networks(json!({"Image": "x"})), "bridge");
    assert_eq!(networks(json!({"Image": "x", "HostConfig": {"NetworkMode": "mine"}})), "mine");
    assert_eq!(networks(json!({"Image": "x", "HostConfig": {"NetworkMode": "host"}})), "");
    let named = json!({"Image": "x", "NetworkingConfig": {"EndpointsConfig": {"mine": {}}}});
    assert_eq!(networks(named), "mine");
    let default = json!({"Image": "x", "NetworkingConfig": {"EndpointsConfig": {"default": {}, "a": {}}}});
    assert_eq!(networks(default), "bridge a");
}

#[test]
fn ports_are_published_for_sctp_as_well() {
    let spec = host(json!({"PortBindings": {"5000/sctp": [{"HostPort": "5000"}]}})).unwrap();
    assert_eq!(spec.ports[0].inside.to_string(), "5000/sctp");
}

#[test]
fn what_cannot_go_with_another_containers_network_is_refused() {
    let with = |key: &str, value: Value| {
        let mut body = json!({"Image": "x", "HostConfig": {"NetworkMode": "container:web"}});
        body[key] = value;
        convert(body).map(|(spec, _)| spec.network)
    };
    assert_eq!(with("User", json!("")), Ok(NetworkMode::Container("web".to_owned())));
    let message = "conflicting options: hostname and the container type network mode";
    assert_eq!(with("Hostname", json!("x")).unwrap_err(), message);
    let message = "conflicting options: port exposing and the container type network mode";
    assert_eq!(with("ExposedPorts", json!({"80/tcp": {}})).unwrap_err(), message);
    let mac = json!("02:00:00:00:00:0a");
    let message = "conflicting options: mac-address and the container type network mode";
    assert_eq!(with("MacAddress", mac).unwrap_err(), message);
}

#[test]
fn namespaces_are_shared_as_named_or_refused() {
    let spec =
        host(json!({"PidMode": "host", "IpcMode": "container:a", "UTSMode": "", "CgroupnsMode": "host"}))
            .unwrap();
    assert_eq!((spec.pid, spec.ipc), (Sharing::Host, Sharing::Container("a".to_owned())));
    assert_eq!((spec.uts, spec.cgroup), (Sharing::Private, Sharing::Host));
    assert_eq!(host(json!({"PidMode": "private"})).unwrap_err(), "invalid PID mode: private");
    assert_eq!(host(json!({"PidMode": "container:"})).unwrap_err(), "invalid PID mode: container:");
    assert!(host(json!({"IpcMode": "none"})).unwrap_err().contains("is not supported yet"));
}

#[test]
fn logs_are_bounded_as_asked_and_never_unbounded() {
    let log = |config: Value| convert(json!({"Image": "x", "HostConfig": {"LogConfig": config}}));
    let (spec, _) = log(json!({"Type": "json-file", "Config": {"max-size": "2m", "max-file": "3"}})).unwrap();
    assert_eq!((spec.log.file_bytes_max, spec.log.files_max, spec.log.none), (2 << 20, 3, false));
    assert!(log(json!({"Type": "none"})).unwrap().0.log.none);
    assert_eq!(log(json!({"Type": "", "Config": {"max-size": "-1"}})).unwrap().1.len(), 1);
    assert!(
        log(json!({"Type": "syslog"}))
            .unwrap_err()
            .starts_with("HostConfig.LogConfig.Type \"syslog\" is not")
    );
    assert!(log(json!({"Config": {"max-file": "0"}})).unwrap_err().contains("invalid value"));
}

#[test]
fn long_mounts_are_checked_in_dockers_words() {
    let mount = |fields: Value| host(json!({"Mounts": [fields]})).map(|mut spec| spec.mounts.remove(0));
    let bind = mount(json!({"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true})).unwrap();
    assert!(
        matches!(bind.source, MountSource::Bind { create: false, recursive: true, .. }) && bind.read_only
    );
    for (fields, message) in [
        (
            json!({"Type": "bind", "Target": "/b"}),
            "invalid mount config for type \"bind\": field Source must not be empty",
        ),
        (json!({"Type": "fly", "Target": "/b"}), "invalid mount config for type \"fly\": mount type unknown"),
        (
            json!({"Type": "tmpfs", "Target": "/b", "BindOptions": {}}),
            "BindOptions must not be specified on mount type \"tmpfs\"",
        ),
    ] {
        assert_eq!(mount(fields).unwrap_err(), message);
    }
    let size = mount(
        json!({"Type": "tmpfs", "Target": "/b", "TmpfsOptions": {"SizeBytes": 9, "Options": [["noexec"]]}}),
    );
    let source = MountSource::Tmpfs { size_bytes: Some(9), mode: None, options: vec!["noexec".to_owned()] };
    assert_eq!(size.unwrap().source, source);
}

#[test]
fn security_options_are_known_or_refused() {
    let security = |option: &str| host(json!({"SecurityOpt": [option]})).map(|spec| spec.security);
    assert!(security("no-new-privileges:true").unwrap().no_new_privileges);
    assert_eq!(security("seccomp=unconfined").unwrap().seccomp, Seccomp::Unconfined);
    assert_eq!(security("seccomp={}").unwrap().seccomp, Seccomp::Profile("{}".to_owned()));
    assert!(security("seccomp={").unwrap_err().contains("Decoding seccomp profile failed"));
    assert!(security("apparmor=mine").unwrap_err().contains("is not supported yet"));
    assert_eq!(security("fly=1").unwrap_err(), "invalid --security-opt 2: \"fly=1\"");
}

#[test]
fn an_old_client_has_a_shareable_ipc_namespace_and_no_console_size() {
    let request: CreateRequest = crate::wire::read_value(
        json!({"Image": "x", "Tty": true, "HostConfig": {"ConsoleSize": [10, 20], "AutoRemove": true}}),
    )
    .unwrap();
    let (spec, _) = container(request, 24).unwrap();
    assert_eq!((spec.terminal_size, spec.auto_remove), (None, false));
    assert_eq!(Sent::of(&spec.origin).host.ipc_mode, "shareable");
}

#[test]
fn sizes_are_read_as_people_write_them() {
    for (text, size) in [("64m", 64 << 20), ("1.5k", 1536), ("2GiB", 2 << 30), ("7", 7), ("10kb", 10 << 10)] {
        assert_eq!(bytes(text), Some(size), "{text}");
    }
    assert_eq!(bytes("many"), None);
}
