import Console
import OCI
import Readiness
import Trust

/// What a fleet file says that will block, or soon. Pure.
enum FleetChecks {
    /// How long before its end a key is worth replacing: 30 days.
    static let notice = Duration.seconds(30 * 86_400)

    static func findings(_ fleet: Fleet, at now: Timestamp) -> [Checkup.Finding] {
        let sites = fleet.environments.flatMap { environment in environment.sites.map { (environment, $0) } }
        var findings = [
            Checkup.Finding(
                "fleet-file", .ok,
                "\(fleet.environments.map(\.name.text).joined(separator: " → ")), \(sites.count) sites")
        ]
        let empty = fleet.environments.filter(\.sites.isEmpty).map(\.name.text)
        if !empty.isEmpty {
            findings.append(
                .init(
                    "environments", .warning, "without sites, and so never ready: \(named(empty))",
                    advice: "add the sites to the fleet file, or take the environments out"))
        }
        findings.append(keys(of: sites, at: now))
        findings.append(approvers(of: fleet, at: now))
        return findings
    }

    private static func keys(of sites: [(Fleet.Environment, Fleet.Site)], at now: Timestamp) -> Checkup.Finding {
        let keyless = sites.filter { $0.1.keys.isEmpty && !$0.0.acceptsUnsigned }.map { "\($0.0.name)/\($0.1.name)" }
        let ended = sites.filter { !$0.1.keys.isEmpty && isOver($0.1.keys, at: now) }.map {
            "\($0.0.name)/\($0.1.name)"
        }
        guard keyless.isEmpty, ended.isEmpty else {
            let parts =
                (keyless.isEmpty ? [] : ["no public key, and so blocked: \(named(keyless))"])
                + (ended.isEmpty ? [] : ["no key that is still valid: \(named(ended))"])
            return .init(
                "site-keys", .failed, parts.joined(separator: "; "),
                advice:
                    "run 'rollcall-agent keygen' there, and write the line that it prints as 'publicKey' at the site")
        }
        let ending = sites.filter { !$0.1.keys.isEmpty && isOver($0.1.keys, at: now.advanced(by: notice)) }
        guard ending.isEmpty else {
            return .init(
                "site-keys", .warning,
                "valid for less than \(notice.rounded): \(named(ending.map { "\($0.0.name)/\($0.1.name)" }))",
                advice: "add a new key under 'publicKeys' at the site, then sign with it there")
        }
        let believed = sites.filter { $0.1.keys.isEmpty }.map { "\($0.0.name)/\($0.1.name)" }
        guard believed.isEmpty else {
            return .init(
                "site-keys", .warning, "without a key, and believed all the same: \(named(believed))",
                advice: "give them keys, and take 'unsignedManifests: accept' out of the fleet file")
        }
        return .init("site-keys", .ok, "every site has a key that is valid")
    }

    private static func approvers(of fleet: Fleet, at now: Timestamp) -> Checkup.Finding {
        let ended = fleet.approvers.filter { isOver($0.keys, at: now) }.map(\.name.text)
        guard ended.isEmpty else {
            return .init(
                "approvers", .warning, "no key that is still valid: \(named(ended))",
                advice: "add a new key for them, or take them out: their waivers do not count")
        }
        return .init(
            "approvers", .ok,
            fleet.approvers.isEmpty
                ? "none: nobody can waive a site" : named(fleet.approvers.map(\.name.text)) + " may waive sites")
    }

    /// Whether what a user records is signed by a key that the fleet file names.
    ///
    /// - Parameter key: the key that signs what this user records; `nil` where none is given
    static func signingKey(_ key: PublicKey?, of fleet: Fleet, at now: Timestamp) -> Checkup.Finding {
        let owner = fleet.coordinators.first { coordinator in
            coordinator.keys.contains { $0.publicKey == key && ($0.notAfter.map { now <= $0 } ?? true) }
        }
        switch (key, owner) {
        case (let key?, let owner?):
            return .init(
                "signing-key", .ok,
                "audit records of this user are signed by \(key.id.short), the key of '\(owner.name)'")
        case (let key?, nil) where fleet.coordinators.isEmpty:
            return .init(
                "signing-key", .ok,
                "audit records of this user are signed by \(key.id.short); the fleet file names no 'coordinators', so nobody"
                    + " knows whose that is")
        case (nil, nil) where fleet.coordinators.isEmpty:
            return .init("signing-key", .ok, "none is given: audit records that this user writes are not signed")
        default:
            return .init(
                "signing-key", .warning,
                key.map { "\($0.id.short) is no valid key of the fleet file's 'coordinators'" }
                    ?? "none is given, and the fleet file names 'coordinators'",
                advice:
                    "name the key of one of them with --signing-key: 'rollcall audit verify' ends with 3 after what this"
                    + " user records")
        }
    }

    /// Whether no key proves anything any more.
    private static func isOver(_ keys: [Fleet.Key], at now: Timestamp) -> Bool {
        keys.allSatisfy { key in key.notAfter.map { $0 < now } ?? false }
    }

    /// Names of which ten are said.
    static func named(_ names: [String]) -> String {
        names.prefix(10).joined(separator: ", ") + (names.count > 10 ? " and \(names.count - 10) more" : "")
    }
}
