/// What a run asked of the registries and of TCP, counted by them: the client is not asked.
struct Traffic: Codable, Hashable {
    /// Requests that the central registry answered.
    var sourceRequests = 0
    /// Requests that the site's registry answered.
    var siteRequests = 0
    /// Bytes of content that the central registry sent, whoever dropped them.
    var sourceBytes = 0
    /// Answers that clients try again after: 408, 429 and 5xx of either.
    var refused = 0
    /// TCP connections that the central registry's side accepted; `nil` on loopback, which other programs use too.
    var connections: Int?
    /// Segments that either side sent again; `nil` on loopback.
    var retransmitted: Int?

    static func + (before: Self, after: Self) -> Self {
        Traffic(
            sourceRequests: before.sourceRequests + after.sourceRequests,
            siteRequests: before.siteRequests + after.siteRequests, sourceBytes: before.sourceBytes + after.sourceBytes,
            refused: before.refused + after.refused,
            connections: before.connections.flatMap { count in after.connections.map { $0 + count } },
            retransmitted: before.retransmitted.flatMap { count in after.retransmitted.map { $0 + count } })
    }
}

/// The counters of a `docker-registry`, as its metrics page shows them (distribution 2.8, `http.debug.prometheus`).
struct RegistryCounters: Hashable {
    var requests = 0
    var refused = 0
    var bytesSent = 0
    var inFlight = 0

    init() {}

    /// Reads a page in Prometheus' text format; what else it shows is passed over.
    init(_ page: String) {
        for line in page.split(whereSeparator: \.isNewline) where line.hasPrefix("registry_http_") {
            guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]),
                value >= 0, value < 0x1p53
            else { continue }
            let name = line.prefix { $0 != "{" && $0 != " " }
            switch name {
            case "registry_http_requests_total":
                requests += Int(value)
                if ["408", "429"].contains(where: { line.contains("code=\"\($0)\"") }) || line.contains("code=\"5") {
                    refused += Int(value)
                }
            case "registry_http_response_size_bytes_sum": bytesSent += Int(value)
            case "registry_http_in_flight_requests": inFlight += Int(value)
            default: break
            }
        }
    }
}

/// The counters of SeaweedFS's S3 server, as its metrics page shows them (weed/stats/metrics.go).
struct S3Counters: Hashable {
    /// Requests that were answered.
    var requests = 0
    /// Those answered with 304: the object is what the client has already.
    var unchanged = 0
    /// Those that write or delete.
    var writes = 0
    /// Bytes of objects that were sent.
    var bytesSent = 0

    init() {}

    /// Reads a page in Prometheus' text format; `nil` where it counts no requests.
    init?(_ page: String) {
        var isCounting = false
        for line in page.split(whereSeparator: \.isNewline) where line.hasPrefix("SeaweedFS_s3_") {
            guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]),
                value >= 0, value < 0x1p53
            else { continue }
            switch line.prefix(while: { $0 != "{" && $0 != " " }) {
            case "SeaweedFS_s3_request_total":
                isCounting = true
                requests += Int(value)
                if line.contains("code=\"304\"") { unchanged += Int(value) }
                if ["PUT", "POST", "DELETE"].contains(where: { line.contains("type=\"\($0)") }) {
                    writes += Int(value)
                }
            case "SeaweedFS_s3_bucket_traffic_sent_bytes_total": bytesSent += Int(value)
            default: break
            }
        }
        guard isCounting else { return nil }
    }

    static func - (after: Self, before: Self) -> Self {
        var difference = after
        difference.requests -= before.requests
        difference.unchanged -= before.unchanged
        difference.writes -= before.writes
        difference.bytesSent -= before.bytesSent
        return difference
    }
}

/// The kernel's TCP counters of a network namespace (`/proc/net/snmp`, RFC 4022).
struct TCPCounters: Hashable {
    /// Connections that were accepted.
    var accepted = 0
    /// Segments that were sent again.
    var retransmitted = 0

    init() {}

    /// Reads the file: a line of names and a line of values for each protocol.
    init(_ file: String) {
        let lines = file.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("Tcp:") }.map {
            $0.split(separator: " ")
        }
        guard lines.count == 2 else { return }
        for (name, value) in zip(lines[0], lines[1]) {
            if name == "PassiveOpens" { accepted = Int(value) ?? 0 }
            if name == "RetransSegs" { retransmitted = Int(value) ?? 0 }
        }
    }

    /// Connections to a port of this machine that are established (`/proc/net/tcp`, state 01, addresses in hexadecimal).
    static func established(to port: Int, in file: String) -> Int {
        let suffix =
            ":" + String(repeating: "0", count: max(0, 4 - String(port, radix: 16).count))
            + String(port, radix: 16, uppercase: true)
        return file.split(whereSeparator: \.isNewline).count { line in
            let fields = line.split(separator: " ", maxSplits: 4)
            return fields.count > 3 && fields[1].hasSuffix(suffix) && fields[3] == "01"
        }
    }
}
