//! Networks.

use super::super::Takes::{Many, Nothing, One};
use super::super::flags::{FILTER, FLAGS, FORMAT, PRUNE, QUIET, flag, group};
use super::super::{Entry, Operands};
use super::NETWORKS;

pub(super) const COMMANDS: &[Entry] = &[
    entry!(
        "network create",
        &[],
        NETWORKS,
        "Make a network",
        Operands::These(&["NAME"]),
        &[
            group(
                FLAGS,
                &[
                    flag("driver", Some('d'), One("NAME"), "bridge (the default), macvlan or ipvlan"),
                    flag("opt", Some('o'), Many("NAME=VALUE"), "An option of the driver"),
                    flag("internal", None, Nothing, "Cut it off from everything else"),
                    flag("attachable", None, Nothing, "Let containers join that no service runs"),
                    flag("label", None, Many("KEY=VALUE"), "Attach a label"),
                    flag("scope", None, One("SCOPE"), "local: there is no cluster yet"),
                    flag("ingress", None, Nothing, "Of a cluster, which there is not yet"),
                    flag("config-only", None, Nothing, "A template of networks, which there is not yet"),
                    flag("config-from", None, One("NETWORK"), "By a template, which there is not yet"),
                ]
            ),
            group(
                "Addresses",
                &[
                    flag("subnet", None, Many("SUBNET"), "A subnet: 10.1.0.0/16, fd00:1::/64"),
                    flag("ip-range", None, Many("SUBNET"), "The part of a subnet that is given out"),
                    flag("gateway", None, Many("IP"), "The way out of a subnet"),
                    flag("aux-address", None, Many("NAME=IP"), "An address that something else has"),
                    flag("ipv4", None, Nothing, "Addresses of IPv4, unless --ipv4=false"),
                    flag("ipv6", None, Nothing, "Addresses of IPv6, unless --ipv6=false"),
                    flag("ipam-driver", None, One("NAME"), "Who gives addresses out: default"),
                    flag("ipam-opt", None, Many("NAME=VALUE"), "An option for who gives addresses out"),
                ]
            )
        ],
        &[
            "bocage network create front                      # both families, free subnets",
            "bocage network create --subnet 10.1.0.0/16 --gateway 10.1.0.1 back",
            "bocage network create -d macvlan -o parent=eth0.20 --subnet 192.0.2.0/24 --ipv6=false vlan20"
        ]
    ),
    entry!(
        "network ls",
        &["network list"],
        NETWORKS,
        "List networks",
        Operands::None,
        &[FILTER, FORMAT, QUIET],
        &["bocage network ls --filter type=custom"]
    ),
    entry!(
        "network inspect",
        &[],
        NETWORKS,
        "Show everything about networks",
        Operands::Several("NETWORK", 1),
        &[group(
            FLAGS,
            &[
                flag("format", Some('f'), One("TEMPLATE"), "Show in this form: json, or a Go template"),
                flag("verbose", Some('v'), Nothing, "For habit: there are no services of a cluster"),
                flag("rules", None, Nothing, "Show what it has in the kernel, and why"),
            ]
        )],
        &[
            "bocage network inspect -f '{{range .IPAM.Config}}{{.Subnet}} {{end}}' front",
            "bocage network inspect --rules front"
        ]
    ),
    entry!(
        "network connect",
        &[],
        NETWORKS,
        "Put a container on a network, running or not",
        Operands::These(&["NETWORK", "CONTAINER"]),
        &[group(
            FLAGS,
            &[
                flag("alias", None, Many("NAME"), "One more name of it there"),
                flag("ip", None, One("IP"), "Its address of IPv4 there"),
                flag("ip6", None, One("IP"), "Its address of IPv6 there"),
                flag(
                    "link",
                    None,
                    Many("CONTAINER[:NAME]"),
                    "Another container, under a name that it alone knows"
                ),
                flag("link-local-ip", None, Many("IP"), "For habit: refused unless empty"),
                flag("driver-opt", None, Many("NAME=VALUE"), "An option of the driver"),
                flag("gw-priority", None, One("NUMBER"), "The network with the highest is its way out"),
            ]
        )],
        &["bocage network connect --alias db --ip 10.1.0.9 back postgres"]
    ),
    entry!(
        "network disconnect",
        &[],
        NETWORKS,
        "Take a container off a network",
        Operands::These(&["NETWORK", "CONTAINER"]),
        &[group(FLAGS, &[flag("force", Some('f'), Nothing, "Also one that is gone")])]
    ),
    entry!(
        "network rm",
        &["network remove"],
        NETWORKS,
        "Remove networks on which no container is",
        Operands::Several("NETWORK", 1),
        &[group(FLAGS, &[flag("force", Some('f'), Nothing, "One that is not there is no error")])]
    ),
    entry!(
        "network prune",
        &[],
        NETWORKS,
        "Remove networks that no container wants",
        Operands::None,
        &[PRUNE],
        &["bocage network prune -f --filter until=24h"]
    ),
];
