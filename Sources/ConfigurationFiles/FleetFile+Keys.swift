import Readiness

extension FleetFile {
    /// What becomes of a site without a public key.
    enum UnsignedManifests: String, CaseIterable {
        case refuse, accept
    }

    enum Key: String, MappingKey {
        case objectStore, environments, approvers, coordinators

        var setting: Setting {
            switch self {
            case .objectStore:
                Setting(
                    .section(Value.ObjectStoreKey.self), .required,
                    "The central object store: the only state that coordinators and agents share.")
            case .environments:
                Setting(
                    .list(of: .section(EnvironmentKey.self)), .required,
                    """
                    The rungs of the promotion ladder, lowest first: a list can be staged to an environment only after \
                    it was promoted in the one before.
                    """)
            case .approvers:
                Setting(
                    .list(of: .section(ApproverKey.self)), .otherwise("nobody, and there are no exceptions"),
                    """
                    Who may give waivers (`rollcall waiver`): signed, expiring exceptions for one site and one \
                    generation ([waivers](trust.md#waivers)).
                    """)
            case .coordinators:
                Setting(
                    .list(of: .section(CoordinatorKey.self)), .otherwise("nobody can tell whose signatures are known"),
                    """
                    Whose keys sign what is decided (`--signing-key`): `rollcall audit verify` names records that \
                    none of them signed ([verifying](trust.md#verifying)).
                    """)
            }
        }
    }

    enum EnvironmentKey: String, MappingKey {
        case name, freshness, depth, contentWithin, unsignedManifests, rollbackDepth, sites

        var setting: Setting {
            switch self {
            case .name:
                Setting(
                    .text("a name"), .required, example: "lab",
                    "The environment's name, unique in the fleet. The agents' files say the same.")
            case .freshness:
                Setting(
                    .duration(.seconds(60)...Setting.longest),
                    .standard(Fleet.Environment.defaultFreshness.written), example: "12h",
                    "How old a site's proof may be for the gate to open ([more](gates.md#how-fresh-and-how-deep)).")
            case .depth:
                Setting(
                    .choice(of: CacheManifest.Depth.self), .standard("presence"), example: "content",
                    """
                    How deep the proof must be: `presence` (the site's registry showed every entry) or `content` (the \
                    site also read all content back and hashed it).
                    """)
            case .contentWithin:
                Setting(
                    .duration(.seconds(60)...Setting.longest),
                    .standard(Fleet.Environment.defaultContentWithin.written),
                    "How long ago a site may have read any of the content back; for `depth: content` only.")
            case .unsignedManifests:
                Setting(
                    .choice(of: UnsignedManifests.self), .standard("refuse"),
                    """
                    Whether a site without a public key is taken at its word. Every answer that rests on such a site \
                    says so.
                    """)
            case .rollbackDepth:
                Setting(
                    .integer(0...EnvironmentRecord.maximumHistory),
                    .standard("\(Fleet.Environment.defaultRollbackDepth)"),
                    """
                    How many earlier promotions of each list the sites keep, so that `rollcall rollback` can return to \
                    them at once ([rollback](trust.md#rollback)).
                    """)
            case .sites:
                Setting(
                    .list(of: .section(SiteKey.self)), .required,
                    "Every one of these sites has to prove a list before it can be promoted here.")
            }
        }
    }

    enum SiteKey: String, MappingKey {
        case name, registry, publicKey, publicKeys

        var setting: Setting {
            switch self {
            case .name:
                Setting(
                    .text("a name"), .required, example: "lab-1",
                    "The site's name, unique in its environment. The agent's file says the same.")
            case .registry:
                Setting(
                    .text("`https://HOST[:PORT]`"), .required, example: "https://registry.lab-1.example",
                    """
                    The site's regional registry, with the host and port that its `agent.yaml` has: a site whose agent \
                    looked at another one blocks. Where the agent has a registry of its own, nothing is compared. Plain \
                    HTTP is spoken only where the URL says `http://`.
                    """)
            case .publicKey:
                Setting(
                    .text("`ed25519:BASE64`"), .otherwise("none, and the site blocks"), example: FleetFile.exampleKey,
                    """
                    The key that signs the site's cache manifests: the line that `rollcall-agent keygen` printed there. \
                    An environment may accept sites without one (`unsignedManifests`).
                    """)
            case .publicKeys: FleetFile.severalKeys(.otherwise("none"))
            }
        }
    }

    enum ApproverKey: String, MappingKey {
        case name, publicKey, publicKeys

        var setting: Setting {
            switch self {
            case .name: Setting(.text("a name"), .required, example: "jane.doe", "The person's name, unique.")
            case .publicKey:
                Setting(
                    .text("`ed25519:BASE64`"), .requiredUnless("publicKeys"), example: FleetFile.exampleKey,
                    "The line that `rollcall keygen` printed. Nobody else's key, and no site's.")
            case .publicKeys: FleetFile.severalKeys(.requiredUnless("publicKey"))
            }
        }
    }

    enum CoordinatorKey: String, MappingKey {
        case name, publicKey, publicKeys

        var setting: Setting {
            switch self {
            case .name:
                Setting(
                    .text("a name"), .required, example: "release-pipeline",
                    "The name of the person, or of the pipeline, unique.")
            case .publicKey:
                Setting(
                    .text("`ed25519:BASE64`"), .requiredUnless("publicKeys"), example: FleetFile.exampleKey,
                    "The line that `rollcall keygen` printed. No approver's key, and no site's.")
            case .publicKeys: FleetFile.severalKeys(.requiredUnless("publicKey"))
            }
        }
    }

    enum PublicKeyKey: String, MappingKey {
        case key, notAfter

        var setting: Setting {
            switch self {
            case .key:
                Setting(
                    .text("`ed25519:BASE64`"), .required, example: FleetFile.exampleKey,
                    "A public key, as `publicKey` has it.")
            case .notAfter:
                Setting(
                    .text("a time in UTC, `YYYY-MM-DDTHH:MM:SSZ`"), .otherwise("no end"),
                    example: "2027-01-31T00:00:00Z",
                    "After this time, by the coordinator's clock, the key proves nothing any more.")
            }
        }
    }

    private static let exampleKey = #""ed25519:OCBzQoSq/yKSbcQATn1E4MiiYabqHNC8qGaAH+cPPFc=""#

    private static func severalKeys(_ absence: Setting.Absence) -> Setting {
        Setting(
            .list(of: .either(.text("`ed25519:BASE64`"), .section(PublicKeyKey.self))), absence,
            """
            In the place of `publicKey`: several, up to \(Fleet.Key.maximumCount), while a key is replaced: each may \
            sign.
            """)
    }
}
