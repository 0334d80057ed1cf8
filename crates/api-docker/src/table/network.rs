//! Networks.

use super::create::{NO_LINK_LOCAL, OUTPUT};
use super::{Field, Operation, Way, done, ignored, operation, refused, refused_unless};
use crate::handle::network;

const NO_CLUSTER: &str = "this node is part of no cluster";
const NO_TEMPLATES: &str = "give each network its whole configuration";

const CREATE_BODY: &[Field] = &[
    done("Name"),
    done("Driver"),
    refused_unless("Scope", &[r#""local""#], NO_CLUSTER),
    done("Internal"),
    done("Attachable"),
    refused("Ingress", NO_CLUSTER),
    refused("ConfigOnly", NO_TEMPLATES),
    refused("ConfigFrom", NO_TEMPLATES),
    done("IPAM"),
    refused_unless("IPAM.Driver", &[r#""default""#], "addresses are given out by the node itself"),
    done("IPAM.Config"),
    done("IPAM.Config.[].Subnet"),
    done("IPAM.Config.[].IPRange"),
    done("IPAM.Config.[].Gateway"),
    done("IPAM.Config.[].AuxiliaryAddresses"),
    refused("IPAM.Options", "the node's own addresses have no options"),
    done("EnableIPv4"),
    done("EnableIPv6"),
    done("Options"),
    done("Labels"),
];

const CONNECT_BODY: &[Field] = &[
    done("Container"),
    done("EndpointConfig"),
    done("EndpointConfig.IPAMConfig"),
    done("EndpointConfig.IPAMConfig.IPv4Address"),
    done("EndpointConfig.IPAMConfig.IPv6Address"),
    refused("EndpointConfig.IPAMConfig.LinkLocalIPs", NO_LINK_LOCAL),
    done("EndpointConfig.Links"),
    done("EndpointConfig.MacAddress"),
    done("EndpointConfig.Aliases"),
    done("EndpointConfig.DriverOpts"),
    done("EndpointConfig.GwPriority"),
    ignored("EndpointConfig.NetworkID", OUTPUT),
    ignored("EndpointConfig.EndpointID", OUTPUT),
    ignored("EndpointConfig.Gateway", OUTPUT),
    ignored("EndpointConfig.IPAddress", OUTPUT),
    ignored("EndpointConfig.IPPrefixLen", OUTPUT),
    ignored("EndpointConfig.IPv6Gateway", OUTPUT),
    ignored("EndpointConfig.GlobalIPv6Address", OUTPUT),
    ignored("EndpointConfig.GlobalIPv6PrefixLen", OUTPUT),
    ignored("EndpointConfig.DNSNames", OUTPUT),
];

pub(super) const OPERATIONS: &[Operation] = &[
    operation("NetworkList", "GET", "/networks", |call| Box::pin(network::list(call)), &[done("filters")]),
    operation(
        "NetworkInspect",
        "GET",
        "/networks/{id}",
        |call| Box::pin(network::inspect(call)),
        &[ignored("verbose", "it adds services of a cluster, of which there is none"), done("scope")],
    ),
    Operation {
        id: "NetworkCreate",
        method: "POST",
        path: "/networks/create",
        way: Way::Done(|call| Box::pin(network::create(call))),
        parameters: &[],
        body: CREATE_BODY,
    },
    operation("NetworkDelete", "DELETE", "/networks/{id}", |call| Box::pin(network::remove(call)), &[]),
    Operation {
        id: "NetworkConnect",
        method: "POST",
        path: "/networks/{id}/connect",
        way: Way::Done(|call| Box::pin(network::connect(call))),
        parameters: &[],
        body: CONNECT_BODY,
    },
    Operation {
        id: "NetworkDisconnect",
        method: "POST",
        path: "/networks/{id}/disconnect",
        way: Way::Done(|call| Box::pin(network::disconnect(call))),
        parameters: &[],
        body: &[done("Container"), done("Force")],
    },
    operation(
        "NetworkPrune",
        "POST",
        "/networks/prune",
        |call| Box::pin(network::prune(call)),
        &[done("filters")],
    ),
];
