import HTTP
import ObjectStore

// What several files write in the same form.

extension Value {
    enum ObjectStoreKey: String, MappingKey {
        case url

        var setting: Setting {
            switch self {
            case .url:
                Setting(
                    .text("`file:///ABSOLUTE/PATH` or `s3://BUCKET/PREFIX?endpoint=https://HOST[:PORT]&region=REGION`"),
                    .required, example: "s3://rollcall/fleet-a?endpoint=https://s3.example&region=us-east-1",
                    """
                    A directory that every party mounts, or a bucket of an S3 store, or the part of one below a prefix. \
                    Its further parameters and where its keys come from are in [object-store.md](object-store.md#s3-the-url).
                    """)
            }
        }
    }

    /// `{url: …}`: where the central object store is.
    func objectStoreLocation() throws(ConfigurationError) -> ObjectStoreLocation {
        try mapping(ObjectStoreKey.self, title: name).value(.url).parsed(ObjectStoreLocation.init(_:))
    }

    /// The URL of a registry: scheme, host and port. Plain HTTP is spoken only where it says `http://`.
    ///
    /// A path is refused: the distribution-spec puts `/v2/` at the root of the host, and a prefix of repository names
    /// belongs into a mapping.
    func registryURL() throws(ConfigurationError) -> (url: HTTPURL, text: String) {
        let text = try string()
        guard text.contains("://") else {
            throw error(.invalidValue, "\(name): '\(text.shown)' is not a registry's URL: write https://HOST[:PORT]")
        }
        let url = try parsed(HTTPURL.init(_:))
        guard url.path == "/", url.query == nil else {
            throw error(
                .invalidValue, "\(name): a registry's URL has no path: write \(url.with(path: "").redacted)")
        }
        return (url, text)
    }
}
