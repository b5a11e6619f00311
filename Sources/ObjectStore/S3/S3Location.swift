public import HTTP

/// Where an S3 store is: `s3://BUCKET/PREFIX?endpoint=URL&region=REGION&style=path|virtual&credentials=FILE&ca=FILE`.
///
/// Everything but the bucket may be left out. Without an endpoint it is AWS's of the region; plain HTTP is spoken only to an
/// endpoint that is written with `http://`.
public struct S3Location: Hashable, Sendable, CustomStringConvertible {
    /// How requests name the bucket.
    public enum Style: String, Hashable, Sendable {
        /// `https://HOST/BUCKET/KEY`: what every S3 store takes.
        case path
        /// `https://BUCKET.HOST/KEY`: AWS's way.
        case virtual
    }

    /// The bucket's name.
    public let bucket: String
    /// What every key in the bucket begins with; `nil` for none.
    public let prefix: ObjectKey?
    /// Scheme, host and port of the server; `nil` for AWS's of the region.
    public let endpoint: HTTPURL?
    /// The region that requests are signed for; `nil` takes the environment's.
    public let region: String?
    /// How requests name the bucket; `nil` is `path` at an endpoint that is named, and AWS's way at AWS.
    public let style: Style?
    /// The file or directory with the credentials; `nil` looks in the usual places.
    public let credentialsFile: String?
    /// A PEM file of certificate authorities to trust instead of the system's.
    public let caFile: String?

    private enum Parameter: String, CaseIterable { case endpoint, region, style, credentials, ca }

    /// Parses what follows `s3://`.
    ///
    /// - Throws: a sentence on what is wrong
    init(rest: Substring) throws(ObjectStoreError) {
        // What stands before an '@' was meant to be a password.
        let shown = "s3://\(rest.contains("@") ? "…@" : String(rest.prefix { $0 != "?" }.prefix(200)))"
        func refusal(_ message: String) -> ObjectStoreError { ObjectStoreError(.invalidLocation, message, at: shown) }

        guard !rest.contains("#") else { throw refusal("an S3 URL takes no fragment: write '#' as %23") }
        let question = rest.firstIndex(of: "?") ?? rest.endIndex
        let names = rest[..<question]
        let slash = names.firstIndex(of: "/") ?? names.endIndex
        let bucket = String(names[..<slash])
        guard Self.isBucketName(bucket) else {
            throw refusal(
                "this names no bucket (3 to 63 lower-case letters, digits, '-' and '.'): write"
                    + " s3://BUCKET/PREFIX?endpoint=URL")
        }
        self.bucket = bucket
        var prefix = names[slash...].drop { $0 == "/" }
        while prefix.hasSuffix("/") { prefix = prefix.dropLast() }
        do throws(ObjectStoreError) {
            self.prefix = prefix.isEmpty ? nil : try ObjectKey(String(prefix))
        } catch {
            throw refusal("the prefix is \(error.message)")
        }
        // Leaves room below it for the keys of the schema.
        guard prefix.utf8.count <= 300, prefix.utf8.count(where: { $0 == UInt8(ascii: "/") }) < 8 else {
            throw refusal("the prefix is too long: at most 300 bytes and 8 segments")
        }

        var values: [Parameter: String] = [:]
        for item in rest[question...].dropFirst().split(separator: "&") {
            let equals = item.firstIndex(of: "=") ?? item.endIndex
            guard let parameter = Parameter(rawValue: String(item[..<equals])) else {
                let known = Parameter.allCases.map(\.rawValue).joined(separator: ", ")
                // An '&' in a password begins a parameter, too.
                let name = rest.contains("@") ? "" : " '\(item[..<equals].prefix(64))'"
                throw refusal("unknown parameter\(name): known ones are \(known)")
            }
            guard let value = String(percentDecoding: item[equals...].dropFirst()), !value.isEmpty,
                !value.utf8.contains(0)
            else {
                throw refusal("'\(parameter.rawValue)' has no value, or its percent-encoding is malformed")
            }
            guard values.updateValue(value, forKey: parameter) == nil else {
                throw refusal("'\(parameter.rawValue)' is given twice")
            }
        }

        if let text = values[.endpoint] {
            guard let url = try? HTTPURL(text), url.path == "/", url.query == nil else {
                throw refusal("'endpoint' is not a server's URL: write https://HOST[:PORT], or http:// for plain HTTP")
            }
            endpoint = url
        } else {
            endpoint = nil
        }
        region = values[.region]
        guard region?.utf8.allSatisfy(\.isRegionByte) ?? true else {
            throw refusal("'region' is not a region's name: letters, digits and '-'")
        }
        style = try values[.style].map { text throws(ObjectStoreError) in
            guard let style = Style(rawValue: text) else { throw refusal("'style' is 'path' or 'virtual'") }
            return style
        }
        guard style != .virtual || !(endpoint?.host.isAddress ?? false) else {
            throw refusal("'style=virtual' needs an endpoint with a name: an address has no subdomains")
        }
        credentialsFile = values[.credentials]
        caFile = values[.ca]
    }

    /// The location as a URL.
    public var description: String {
        var url = "s3://\(bucket)"
        if let prefix { url += "/\(prefix)" }
        let values: [(Parameter, String?)] = [
            (.endpoint, endpoint?.with(path: "").redacted), (.region, region), (.style, style?.rawValue),
            (.credentials, credentialsFile), (.ca, caFile),
        ]
        let items = values.compactMap { parameter, value in
            value.map { "\(parameter.rawValue)=\(String(percentEncoding: $0, keeping: ":/@+"))" }
        }
        return items.isEmpty ? url : "\(url)?\(items.joined(separator: "&"))"
    }

    /// Amazon's rules for general purpose buckets, as far as every store shares them.
    private static func isBucketName(_ name: String) -> Bool {
        let isEnd = { (byte: UInt8?) in byte.map { $0.isLowercaseOrDigit } ?? false }
        return (3...63).contains(name.utf8.count) && isEnd(name.utf8.first) && isEnd(name.utf8.last)
            && name.utf8.allSatisfy { $0.isLowercaseOrDigit || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") }
            && !name.contains("..")
    }
}

/// A bucket as requests name it: a location with all that it leaves open decided.
struct S3Bucket: Hashable, Sendable {
    /// The bucket's name.
    let name: String
    /// What every key begins with: empty, or with a slash at its end.
    let prefix: String
    /// The region that requests are signed for.
    let region: String
    /// The URL of the bucket, with a slash at its end.
    let url: HTTPURL
    /// The server, as messages name it.
    let server: String

    /// - Parameter environmentRegion: the region of the environment or the shared configuration
    /// - Throws: `ObjectStoreError.invalidLocation` where bucket and endpoint make no URL
    init(_ location: S3Location, environmentRegion: String?) throws(ObjectStoreError) {
        name = location.bucket
        prefix = location.prefix.map { "\($0)/" } ?? ""
        region = location.region ?? environmentRegion ?? "us-east-1"
        // A certificate for *.HOST does not cover names with further dots.
        let awsStyle: S3Location.Style = location.bucket.contains(".") ? .path : .virtual
        let style = location.style ?? (location.endpoint == nil ? awsStyle : .path)
        do throws(HTTPError) {
            let endpoint: HTTPURL
            if let named = location.endpoint {
                endpoint = named
            } else {
                endpoint = try HTTPURL("https://s3.\(region).amazonaws.com/")
            }
            server = endpoint.authority
            switch style {
            case .path: url = endpoint.with(path: "/\(name)/")
            case .virtual: url = try HTTPURL("\(endpoint.scheme)://\(name).\(endpoint.authority)/")
            }
        } catch {
            throw ObjectStoreError(
                .invalidLocation, "the bucket and the endpoint make no URL (\(error.message)): check both",
                at: "\(location)")
        }
    }

    /// The URL of an object.
    ///
    /// - Parameter key: the whole key in the bucket, not encoded
    func url(of key: String) -> HTTPURL { url.with(path: url.path + S3Signer.percentEncode(path: key)) }

    /// What messages call an object, or the bucket for `nil`.
    func place(of key: String?) -> String { "s3://\(name)/\(key ?? prefix) at \(server)" }
}

extension UInt8 {
    fileprivate var isLowercaseOrDigit: Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self)
    }
    fileprivate var isRegionByte: Bool { (self | 0x20).isLowercaseOrDigit || self == UInt8(ascii: "-") }
}

extension String {
    /// Whether a host is an address and not a name.
    fileprivate var isAddress: Bool { hasPrefix("[") || utf8.allSatisfy { $0 == UInt8(ascii: ".") || $0 < 0x3A } }
}
