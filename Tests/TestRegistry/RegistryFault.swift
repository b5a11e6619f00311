/// What goes wrong between a client and the registry: with the connection, with the bytes, or with the registry's word.
public enum RegistryFault: Sendable, Hashable {
    // MARK: Patience

    /// The registry sees the request this much later.
    case delay(Duration)
    /// The answer's body comes in small pieces, one at a time: a slow loris that serves.
    case drip(bytes: Int, every: Duration)

    // MARK: The connection breaks

    /// The registry gets this many bytes of the request's body; then the connection is reset.
    case resetUpload(after: Int)
    /// The client is sent this many bytes of the answer's body; then the connection is reset.
    case resetAnswer(after: Int)
    /// The client is sent this many bytes of the answer's body; then the stream ends.
    case truncate(after: Int)
    /// The registry does what it is asked, and the connection is reset before it answers.
    case loseAnswer

    // MARK: The bytes

    /// A byte of the answer's body is another one.
    case corrupt(byte: Int)
    /// A byte of the request's body is another one.
    case corruptUpload(byte: Int)

    // MARK: Refusals

    /// The registry does not see the request.
    ///
    /// - Parameters:
    ///   - status: what the client is told
    ///   - headers: and with which fields
    ///   - after: when: once this many bytes of the request's body have come; `nil` for all of them
    case answer(Int, [String: String] = [:], after: Int? = nil)
    /// The registry ends the upload session, and the client is told that there is none (404).
    case dropSession

    // MARK: Lies about ranges

    /// The whole content (200) to who asked for a range.
    case ignoreRange
    /// Another `Content-Range` than that of the bytes that follow.
    case contentRange(String)
    /// A range that ends this many bytes before its `Content-Range` does; its length is that of what is sent.
    case shorten(by: Int)
    /// A range with this many more bytes than its `Content-Range` says; its length is that of what is sent.
    case lengthen(by: Int)
}
