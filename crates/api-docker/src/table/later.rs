//! Networks, and everything of which nothing is built yet.

use super::{Operation, done, ignored, not_yet, operation};
use crate::handle::{disk, network};

const NO_NETWORKS: &str = "there are only the networks bridge, host and none";
const NO_PLUGINS: &str = "there are no plugins";
const NO_SWARM: &str = "this node is part of no cluster";

pub(super) const NETWORKS: &[Operation] = &[
    operation("NetworkList", "GET", "/networks", |call| Box::pin(network::list(call)), &[done("filters")]),
    operation(
        "NetworkInspect",
        "GET",
        "/networks/{id}",
        |call| Box::pin(network::inspect(call)),
        &[ignored("verbose", "it adds services of a cluster, of which there is none"), done("scope")],
    ),
    not_yet("NetworkCreate", "POST", "/networks/create", NO_NETWORKS),
    not_yet("NetworkDelete", "DELETE", "/networks/{id}", NO_NETWORKS),
    not_yet("NetworkConnect", "POST", "/networks/{id}/connect", NO_NETWORKS),
    not_yet("NetworkDisconnect", "POST", "/networks/{id}/disconnect", NO_NETWORKS),
    operation(
        "NetworkPrune",
        "POST",
        "/networks/prune",
        |call| Box::pin(disk::prune_networks(call)),
        &[done("filters")],
    ),
];

pub(super) const OPERATIONS: &[Operation] = &[
    not_yet("PluginList", "GET", "/plugins", NO_PLUGINS),
    not_yet("GetPluginPrivileges", "GET", "/plugins/privileges", NO_PLUGINS),
    not_yet("PluginPull", "POST", "/plugins/pull", NO_PLUGINS),
    not_yet("PluginInspect", "GET", "/plugins/{name*}/json", NO_PLUGINS),
    not_yet("PluginDelete", "DELETE", "/plugins/{name*}", NO_PLUGINS),
    not_yet("PluginEnable", "POST", "/plugins/{name*}/enable", NO_PLUGINS),
    not_yet("PluginDisable", "POST", "/plugins/{name*}/disable", NO_PLUGINS),
    not_yet("PluginUpgrade", "POST", "/plugins/{name*}/upgrade", NO_PLUGINS),
    not_yet("PluginCreate", "POST", "/plugins/create", NO_PLUGINS),
    not_yet("PluginPush", "POST", "/plugins/{name*}/push", NO_PLUGINS),
    not_yet("PluginSet", "POST", "/plugins/{name*}/set", NO_PLUGINS),
    not_yet("NodeList", "GET", "/nodes", NO_SWARM),
    not_yet("NodeInspect", "GET", "/nodes/{id}", NO_SWARM),
    not_yet("NodeDelete", "DELETE", "/nodes/{id}", NO_SWARM),
    not_yet("NodeUpdate", "POST", "/nodes/{id}/update", NO_SWARM),
    not_yet("SwarmInspect", "GET", "/swarm", NO_SWARM),
    not_yet("SwarmInit", "POST", "/swarm/init", NO_SWARM),
    not_yet("SwarmJoin", "POST", "/swarm/join", NO_SWARM),
    not_yet("SwarmLeave", "POST", "/swarm/leave", NO_SWARM),
    not_yet("SwarmUpdate", "POST", "/swarm/update", NO_SWARM),
    not_yet("SwarmUnlockkey", "GET", "/swarm/unlockkey", NO_SWARM),
    not_yet("SwarmUnlock", "POST", "/swarm/unlock", NO_SWARM),
    not_yet("ServiceList", "GET", "/services", NO_SWARM),
    not_yet("ServiceCreate", "POST", "/services/create", NO_SWARM),
    not_yet("ServiceInspect", "GET", "/services/{id}", NO_SWARM),
    not_yet("ServiceDelete", "DELETE", "/services/{id}", NO_SWARM),
    not_yet("ServiceUpdate", "POST", "/services/{id}/update", NO_SWARM),
    not_yet("ServiceLogs", "GET", "/services/{id}/logs", NO_SWARM),
    not_yet("TaskList", "GET", "/tasks", NO_SWARM),
    not_yet("TaskInspect", "GET", "/tasks/{id}", NO_SWARM),
    not_yet("TaskLogs", "GET", "/tasks/{id}/logs", NO_SWARM),
    not_yet("SecretList", "GET", "/secrets", NO_SWARM),
    not_yet("SecretCreate", "POST", "/secrets/create", NO_SWARM),
    not_yet("SecretInspect", "GET", "/secrets/{id}", NO_SWARM),
    not_yet("SecretDelete", "DELETE", "/secrets/{id}", NO_SWARM),
    not_yet("SecretUpdate", "POST", "/secrets/{id}/update", NO_SWARM),
    not_yet("ConfigList", "GET", "/configs", NO_SWARM),
    not_yet("ConfigCreate", "POST", "/configs/create", NO_SWARM),
    not_yet("ConfigInspect", "GET", "/configs/{id}", NO_SWARM),
    not_yet("ConfigDelete", "DELETE", "/configs/{id}", NO_SWARM),
    not_yet("ConfigUpdate", "POST", "/configs/{id}/update", NO_SWARM),
];
