import HTTP
import OCI
import Synchronization
import TestSupport
import Testing

@testable import ObjectStore

/// A bucket in memory behind a scripted server: a correct S3 store, but for the manners that a test gives it.
final class ScriptedS3: Sendable {
    /// In what it differs from AWS.
    struct Manners: Sendable {
        var ignoresIfNoneMatch = false
        var ignoresIfMatch = false
        var takesOnlyBareETags = false
        var takesNoCurrentETag = false
        var hasNoConditions = false
        var isVersioned = false
        var keepsMetadata = true
        var has304WithETag = true
        var ignoresConditionalReads = false
        /// How many writers of one key pass the check before the first of them writes.
        var racers = 1
        /// From which round of a race on it does so: one that is lucky before.
        var firstRacedRound = 0
        /// Which writes of several at once are not kept apart: creations, or swaps.
        var racesSwaps = false
    }

    struct Object: Sendable {
        var bytes: [UInt8]
        var etag: String
        var mark: String?
        var replaces: String?
    }

    private struct State {
        var objects: [String: Object] = [:]
        var racing: [String: (count: Int, gate: Gate)] = [:]
    }

    private let manners: Manners
    private let state = Mutex(State())

    init(_ manners: Manners = Manners()) { self.manners = manners }

    var objects: [String: Object] { state.withLock { $0.objects } }

    func put(_ bytes: [UInt8], at key: String, replacing replaced: String? = nil) {
        let object = Object(bytes: bytes, etag: Digest(of: bytes).hex, replaces: replaced)
        state.withLock { $0.objects[key] = object }
    }

    func answer(_ exchange: ScriptedServer.Exchange) throws -> ScriptedServer.Response {
        let request = exchange.request
        let path = request.path.split(separator: "/", maxSplits: 1).map(String.init)
        guard path.count == 2, path[1] != "" else {
            return ScriptedServer.Response(
                200, [:],
                text: request.query == "versioning="
                    ? "<V>\(manners.isVersioned ? "<Status>Enabled</Status>" : "")</V>" : listing(request))
        }
        let key = path[1].replacing("%3D", with: "=")
        switch request.method {
        case "PUT": return try put(exchange, key)
        case "DELETE":
            state.withLock { _ = $0.objects.removeValue(forKey: key) }
            return ScriptedServer.Response(204, [:])
        default:
            guard let object = objects[key] else { return Self.fault(404, "NoSuchKey") }
            if !manners.ignoresConditionalReads, request.header("If-None-Match") == "\"\(object.etag)\"" {
                var answer = ScriptedServer.Response(304, manners.has304WithETag ? ["ETag": "\"\(object.etag)\""] : [:])
                answer.framing = .none
                return answer
            }
            var answer = ScriptedServer.Response(200, ["ETag": "\"\(object.etag)\""])
            answer.body = .bytes(object.bytes)
            answer.setHeader(S3Store.writeHeader, object.mark)
            answer.setHeader(S3Store.replacesHeader, object.replaces)
            return answer
        }
    }

    private func put(_ exchange: ScriptedServer.Exchange, _ key: String) throws -> ScriptedServer.Response {
        let body = try exchange.readBody()
        let request = exchange.request
        let none = request.header("If-None-Match")
        let match = request.header("If-Match")
        if manners.hasNoConditions, none != nil || match != nil { return Self.fault(501, "NotImplemented") }
        let isRaced = manners.racesSwaps ? match != nil : none != nil
        // A round of the probe has its number at the end of its key.
        let round =
            key.contains("~probe/") && key.contains("-") ? key.split(separator: "-").last.flatMap { Int($0) } : nil
        let isHeld = manners.racers > 1 && isRaced && round.map { $0 >= manners.firstRacedRound } ?? false
        if isHeld {
            let (isLast, gate) = state.withLock { state in
                var race = state.racing[key] ?? (0, Gate())
                race.count += 1
                state.racing[key] = race
                return (race.count >= manners.racers, race.gate)
            }
            if isLast { gate.open() }
            try exchange.wait(gate)
        } else if let refusal = refusal(none, match, objects[key]) {
            return refusal
        }
        let object = Object(
            bytes: body, etag: Digest(of: body).hex,
            mark: manners.keepsMetadata ? request.header(S3Store.writeHeader) : nil,
            replaces: manners.keepsMetadata ? request.header(S3Store.replacesHeader) : nil)
        // The check again, so that of two at once only one is stored.
        let refusal: ScriptedServer.Response? = state.withLock { state in
            if !isHeld, let refusal = self.refusal(none, match, state.objects[key]) { return refusal }
            state.objects[key] = object
            return nil
        }
        return refusal ?? ScriptedServer.Response(200, ["ETag": "\"\(object.etag)\""])
    }

    private func refusal(_ none: String?, _ match: String?, _ current: Object?) -> ScriptedServer.Response? {
        if none == "*", current != nil, !manners.ignoresIfNoneMatch { return Self.fault(412, "PreconditionFailed") }
        guard let match, !manners.ignoresIfMatch else { return nil }
        guard let current else { return Self.fault(404, "NoSuchKey") }
        let expected = manners.takesOnlyBareETags ? current.etag : "\"\(current.etag)\""
        return match == expected && !manners.takesNoCurrentETag ? nil : Self.fault(412, "PreconditionFailed")
    }

    private func listing(_ request: ScriptedServer.Request) -> String {
        let size = Int(request.queryValue("max-keys") ?? "") ?? 1000
        let start = request.queryValue("continuation-token") ?? ""
        let keys = objects.keys.filter { $0.hasPrefix(request.queryValue("prefix") ?? "") && $0 > start }.sorted()
        let page = keys.prefix(size)
        let isTruncated = page.count < keys.count
        return "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>\(isTruncated)</IsTruncated>"
            + (isTruncated ? "<NextContinuationToken>\(page.last ?? "")</NextContinuationToken>" : "")
            + page.map { "<Contents><Key>\($0.queryEncoded)</Key></Contents>" }.joined() + "</ListBucketResult>"
    }

    /// An error document.
    static func fault(_ status: Int, _ code: String, _ more: String = "") -> ScriptedServer.Response {
        ScriptedServer.Response(
            status, ["Content-Type": "application/xml"],
            text: "<?xml version=\"1.0\"?><Error><Code>\(code)</Code><Message>m</Message>\(more)</Error>")
    }
}

/// What no message may hold.
enum TestSecret {
    static let environment = [
        "AWS_ACCESS_KEY_ID": "KEYNAME", "AWS_SECRET_ACCESS_KEY": "SECRETTEXT", "AWS_SESSION_TOKEN": "TOKENTEXT",
    ]

    static func isShown(in error: any Error) -> Bool {
        environment.values.contains { "\(error)".contains($0) || String(reflecting: error).contains($0) }
    }
}

/// Runs `body` with a store whose server answers as `handler` says; it does not wait between attempts.
func withS3Store<Result>(
    singleWriter: Bool = false, environment: [String: String] = TestSecret.environment, parameters: String = "",
    unixTime: Double = 1_700_000_000, _ handler: @escaping ScriptedServer.Handler,
    _ body: (S3Store, ScriptedServer) async throws -> Result
) async throws -> Result {
    try await withScriptedServer(handler) { server in
        let location = try ObjectStoreLocation("s3://bucket/p?endpoint=\(server.origin)&region=r\(parameters)")
        let store = try location.open(access(singleWriter, environment, unixTime))
        return try await body(try #require(store as? S3Store), server)
    }
}

func access(
    _ singleWriter: Bool = false, _ environment: [String: String] = TestSecret.environment,
    _ unixTime: Double = 1_700_000_000
) -> ObjectStoreAccess {
    var access = ObjectStoreAccess(environment: environment, singleWriter: singleWriter)
    access.proxy = ""
    access.retry.attempts = 3
    access.timing = Timing(
        now: { ContinuousClock.now }, unixTime: { unixTime }, sleep: { _ in try Task.checkCancellation() },
        chance: { Double.random(in: 0..<1) })
    return access
}
