/// A page of a listing: the answer to ListObjectsV2 in the Amazon S3 API reference.
struct S3Listing: Hashable, Sendable {
    /// The keys, as they are in the bucket.
    var keys: [String] = []
    /// Where the next page starts; `nil` on the last one.
    var continuation: String?

    /// - Throws: `XMLReader.Fault` for bytes that are no such document
    init(_ body: [UInt8]) throws(XMLReader.Fault) {
        var reader = XMLReader(body)
        var path: [String] = []
        var text = ""
        var isTruncated = false
        var isEncoded = false
        while let event = try reader.next() {
            switch event {
            case .start(let name):
                guard !path.isEmpty || name == "ListBucketResult" else { throw XMLReader.Fault(offset: 0) }
                path.append(name)
                text = ""
            case .text(let piece): text += piece
            case .end(let name):
                switch (path.count, name) {
                case (2, "IsTruncated"): isTruncated = text == "true"
                case (2, "NextContinuationToken"): continuation = text
                case (2, "EncodingType"): isEncoded = text == "url"
                case (3, "Key") where path[1] == "Contents": keys.append(text)
                default: break
                }
                path.removeLast()
                text = ""
            }
        }
        if !isTruncated { continuation = nil }
        guard !isTruncated || continuation?.isEmpty == false else { throw XMLReader.Fault(offset: body.count) }
        // Those that are not UTF-8 are none of our keys. The element may come after the keys.
        if isEncoded { keys = keys.compactMap { String(percentDecoding: $0[...]) } }
    }
}
