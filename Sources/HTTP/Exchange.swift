import CLibcurl
import Synchronization

/// One request and its response on the wire: an easy handle and the state that its callbacks fill.
///
/// Everything but `init` and the continuation's result runs on the event-loop thread, which makes it `Sendable`.
final class Exchange: @unchecked Sendable {
    private let request: HTTPRequest
    private let sink: (any BodySink)?
    private let userAgent: String
    private weak var loop: EventLoop?
    private var completion: ((Result<HTTPResponse, HTTPError>) -> Void)?

    private(set) var easy: UnsafeMutableRawPointer?
    private var headerList: UnsafeMutablePointer<curl_slist>?
    private var errorBuffer = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))
    var isCancelled = false

    // The response so far.
    private var status = 0
    private var headers = HTTPHeaders()
    private var headerBytes = 0
    private var head: HTTPResponseHead?
    private var disposition = BodyDisposition.collect
    private var body: [UInt8] = []
    private var receivedBytes: Int64 = 0
    private var sentBytes: Int64 = 0
    private var isPaused = false
    /// Why a callback ended the transfer, where it did.
    private var refusal: HTTPError.Code?
    private var refusalMessage = ""

    /// The most bytes of header fields a response may have.
    static let headerLimit = 256 << 10

    init(
        _ request: HTTPRequest, sink: (any BodySink)?, userAgent: String, loop: EventLoop,
        completion: @escaping (Result<HTTPResponse, HTTPError>) -> Void
    ) {
        self.request = request
        self.sink = sink
        self.userAgent = userAgent
        self.loop = loop
        self.completion = completion
        errorBuffer.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    }

    deinit {
        if let easy { curl_easy_cleanup(easy) }
        curl_slist_free_all(headerList)
        errorBuffer.deallocate()
    }

    var control: TransferControl {
        TransferControl { [weak self] in
            guard let self else { return }
            self.loop?.submit(.resume(self))
        }
    }

    // MARK: Start

    /// Makes the easy handle. `nil` without memory.
    func prepare(share: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        guard let raw = curl_easy_init() else { return nil }
        easy = raw
        rollcall_setopt_string(raw, CURLOPT_URL, request.url.description)
        rollcall_setopt_pointer(raw, CURLOPT_ERRORBUFFER, errorBuffer)
        rollcall_setopt_string(raw, CURLOPT_USERAGENT, userAgent)
        rollcall_setopt_long(raw, CURLOPT_NOSIGNAL, 1)
        rollcall_setopt_long(raw, CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        rollcall_setopt_string(raw, CURLOPT_PROTOCOLS_STR, "http,https")
        rollcall_setopt_long(raw, CURLOPT_FOLLOWLOCATION, 0)
        rollcall_setopt_long(raw, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        rollcall_setopt_long(raw, CURLOPT_TCP_KEEPALIVE, 1)
        if let receiveBuffer = request.receiveBuffer {
            rollcall_setopt_receive_buffer(raw, Int32(clamping: receiveBuffer))
        }
        if request.opensConnection { rollcall_setopt_long(raw, CURLOPT_FRESH_CONNECT, 1) }
        rollcall_setopt_long(raw, CURLOPT_BUFFERSIZE, min(max(1 << 10, request.readSize), 256 << 10))
        if let share { rollcall_setopt_pointer(raw, CURLOPT_SHARE, share) }
        setTimeouts(raw)
        setTLS(raw)
        if let proxy = request.proxy { rollcall_setopt_string(raw, CURLOPT_PROXY, proxy) }
        setMethodAndBody(raw)
        setHeaders(raw)

        let context = Unmanaged.passUnretained(self).toOpaque()
        rollcall_setopt_pointer(raw, CURLOPT_HEADERDATA, context)
        rollcall_setopt_data(raw, CURLOPT_HEADERFUNCTION) { buffer, size, count, context in
            Exchange.from(context)?.receiveHeader(UnsafeRawBufferPointer(start: buffer, count: size * count)) ?? 0
        }
        rollcall_setopt_pointer(raw, CURLOPT_WRITEDATA, context)
        rollcall_setopt_data(raw, CURLOPT_WRITEFUNCTION) { buffer, size, count, context in
            Exchange.from(context)?.receiveBody(UnsafeRawBufferPointer(start: buffer, count: size * count)) ?? 0
        }
        if case .source(let source, _) = request.body { source.begin(control) }
        return easy
    }

    private func setTimeouts(_ raw: UnsafeMutableRawPointer) {
        let timeouts = request.timeouts
        rollcall_setopt_long(raw, CURLOPT_CONNECTTIMEOUT, timeouts.connect)
        rollcall_setopt_long(raw, CURLOPT_LOW_SPEED_TIME, timeouts.stall)
        rollcall_setopt_long(raw, CURLOPT_LOW_SPEED_LIMIT, timeouts.stallBytesPerSecond)
        if let total = timeouts.total { rollcall_setopt_long(raw, CURLOPT_TIMEOUT, total) }
    }

    private func setTLS(_ raw: UnsafeMutableRawPointer) {
        let tls = request.tls
        rollcall_setopt_long(raw, CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        if let file = tls.caFile {
            rollcall_setopt_string(raw, CURLOPT_CAINFO, file)
            rollcall_setopt_string(raw, CURLOPT_CAPATH, nil)
        }
        if let file = tls.certificateFile { rollcall_setopt_string(raw, CURLOPT_SSLCERT, file) }
        if let file = tls.keyFile { rollcall_setopt_string(raw, CURLOPT_SSLKEY, file) }
        if tls.skipsVerification {
            rollcall_setopt_long(raw, CURLOPT_SSL_VERIFYPEER, 0)
            rollcall_setopt_long(raw, CURLOPT_SSL_VERIFYHOST, 0)
        }
    }

    private func setMethodAndBody(_ raw: UnsafeMutableRawPointer) {
        switch request.method {
        case .get: rollcall_setopt_long(raw, CURLOPT_HTTPGET, 1)
        case .head: rollcall_setopt_long(raw, CURLOPT_NOBODY, 1)
        case .delete: rollcall_setopt_string(raw, CURLOPT_CUSTOMREQUEST, request.method.rawValue)
        case .post, .put, .patch:
            // One path for all three: an upload of known length, under the method's name.
            rollcall_setopt_long(raw, CURLOPT_UPLOAD, 1)
            rollcall_setopt_string(raw, CURLOPT_CUSTOMREQUEST, request.method.rawValue)
            rollcall_setopt_offset(raw, CURLOPT_INFILESIZE_LARGE, curl_off_t(bodyLength))
            rollcall_setopt_long(raw, CURLOPT_UPLOAD_BUFFERSIZE, uploadBufferSize)
            let context = Unmanaged.passUnretained(self).toOpaque()
            rollcall_setopt_pointer(raw, CURLOPT_READDATA, context)
            rollcall_setopt_data(raw, CURLOPT_READFUNCTION) { buffer, size, count, context in
                Exchange.from(context)?.sendBody(UnsafeMutableRawBufferPointer(start: buffer, count: size * count))
                    ?? rollcall_readfunc_abort()
            }
            rollcall_setopt_pointer(raw, CURLOPT_SEEKDATA, context)
            rollcall_setopt_seek(raw) { context, offset, origin in
                Exchange.from(context)?.rewind(to: offset, origin: origin) ?? CURL_SEEKFUNC_FAIL
            }
        }
    }

    /// In bytes. Of the large ones there are few at once; the others' many buffers would stay with the process.
    private var uploadBufferSize: Int {
        switch bodyLength {
        case ...(64 << 10): 16 << 10
        case ...(8 << 20): 64 << 10
        default: 512 << 10
        }
    }

    private var bodyLength: Int64 {
        switch request.body {
        case .none: 0
        case .bytes(let bytes): Int64(bytes.count)
        case .source(_, let length): length
        }
    }

    private func setHeaders(_ raw: UnsafeMutableRawPointer) {
        for (name, value) in request.headers.fields {
            // libcurl's own form for a field without a value.
            append(value.isEmpty ? "\(name);" : "\(name): \(value)")
        }
        // Without this libcurl waits up to a second for "100 Continue" on every upload.
        append("Expect:")
        rollcall_setopt_list(raw, CURLOPT_HTTPHEADER, headerList)
    }

    private func append(_ line: String) {
        if let list = curl_slist_append(headerList, line) { headerList = list }
    }

    // MARK: Callbacks

    private static func from(_ context: UnsafeMutableRawPointer?) -> Exchange? {
        context.map { Unmanaged<Exchange>.fromOpaque($0).takeUnretainedValue() }
    }

    /// One header line with its line break; an empty one ends the head, and each status line begins a new head.
    private func receiveHeader(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard head == nil else { return bytes.count }  // trailers
        headerBytes += bytes.count
        guard headerBytes <= Self.headerLimit else {
            return refuse(.responseTooLarge, "the response has more than \(Self.headerLimit >> 10) KiB of headers")
        }
        let line = String(decoding: bytes, as: UTF8.self).trimmingLineBreak
        if line.hasPrefix("HTTP/") {
            status = line.split(separator: " ", maxSplits: 2).dropFirst().first.flatMap { Int($0) } ?? 0
            headers = HTTPHeaders()
        } else if !line.isEmpty {
            if let colon = line.firstIndex(of: ":") {
                headers.add(
                    String(line[..<colon]), line[line.index(after: colon)...].trimmingSpaces)
            }
        } else if status >= 200 {
            let head = HTTPResponseHead(status: status, headers: headers, handshake: handshake)
            self.head = head
            if let sink {
                disposition = sink.begin(head, control)
                if case .abandon = disposition { return 0 }
            }
        }
        return bytes.count
    }

    private func receiveBody(_ bytes: UnsafeRawBufferPointer) -> Int {
        switch disposition {
        case .stream:
            switch sink?.receive(bytes) ?? .refuse {
            case .consumed: break
            case .pause:
                isPaused = true
                return rollcall_writefunc_pause()
            case .refuse: return refuse(.refusedBySink, "the response's body was refused")
            }
        case .collect:
            guard body.count + bytes.count <= request.responseLimit else {
                return refuse(
                    .responseTooLarge, "the response has more than the \(request.responseLimit) bytes expected")
            }
            body.append(contentsOf: bytes)
        case .abandon: return 0
        }
        receivedBytes += Int64(bytes.count)
        return bytes.count
    }

    private func sendBody(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        let remaining = bodyLength - sentBytes
        guard remaining > 0, let base = buffer.baseAddress else { return 0 }
        let room = UnsafeMutableRawBufferPointer(start: base, count: Int(min(remaining, Int64(buffer.count))))
        switch request.body {
        case .none: return 0
        case .bytes(let bytes):
            bytes.withUnsafeBytes {
                room.copyMemory(from: .init(rebasing: $0[Int(sentBytes)..<Int(sentBytes) + room.count]))
            }
            sentBytes += Int64(room.count)
            return room.count
        case .source(let source, _):
            switch source.read(into: room) {
            case .bytes(let count) where (1...room.count).contains(count):
                sentBytes += Int64(count)
                return count
            case .bytes, .fail:
                refusal = .sourceFailed
                refusalMessage = "the request's body could not be read"
                return rollcall_readfunc_abort()
            case .pause:
                isPaused = true
                // libcurl exempts transfers from the bound on silence that are paused for receiving, but not those paused
                // for sending (curl 7.88.1, lib/speedcheck.c).
                if let easy { rollcall_setopt_long(easy, CURLOPT_LOW_SPEED_TIME, 0) }
                return rollcall_readfunc_pause()
            }
        }
    }

    /// libcurl rewinds a body when it found a kept connection dead before any response. Bytes in memory can start
    /// again; a source that was read from cannot, and the request fails as a reset, to be retried by policy above.
    private func rewind(to offset: curl_off_t, origin: Int32) -> Int32 {
        guard origin == SEEK_SET, offset == 0 else { return CURL_SEEKFUNC_FAIL }
        if case .source = request.body, sentBytes > 0 { return CURL_SEEKFUNC_FAIL }
        sentBytes = 0
        return CURL_SEEKFUNC_OK
    }

    private func refuse(_ code: HTTPError.Code, _ message: String) -> Int {
        refusal = code
        refusalMessage = message
        return 0
    }

    /// Carries out `TransferControl.resume()`.
    ///
    /// - Returns: libcurl's code where the transfer failed: the sink gets the bytes that it did not take in here, and
    ///   libcurl does not end a transfer that the sink refuses here (curl 7.88.1, lib/easy.c, `curl_easy_pause`)
    func continueIfPaused() -> CURLcode {
        guard isPaused, let easy else { return CURLE_OK }
        isPaused = false
        rollcall_setopt_long(easy, CURLOPT_LOW_SPEED_TIME, request.timeouts.stall)
        let code = curl_easy_pause(easy, CURLPAUSE_CONT)
        // Without a connection there is nothing to continue: either libcurl is about to try a fresh one, which starts
        // unpaused, or the transfer has ended, and its own message says how (curl 7.88.1, lib/easy.c).
        return code == CURLE_BAD_FUNCTION_ARGUMENT ? CURLE_OK : code
    }

    // MARK: End

    func fail(_ code: HTTPError.Code, _ message: String) {
        complete(.failure(HTTPError(code, message, url: request.url.redacted)))
    }

    func finish(_ result: CURLcode) {
        if case .abandon = disposition, head != nil { return succeed() }
        if let refusal { return fail(refusal, refusalMessage) }
        guard result != CURLE_OK else { return head == nil ? fail(.connectionReset, "no response") : succeed() }
        var connectStatus = 0
        if let easy { rollcall_getinfo_long(easy, CURLINFO_HTTP_CONNECTCODE, &connectStatus) }
        // libcurl reports a refused tunnel as a receive error, like a broken connection.
        if connectStatus >= 300 {
            return fail(.proxyFailed, "the proxy refused the tunnel with status \(connectStatus): check its settings")
        }
        let detail = String(cString: errorBuffer)
        let (code, message) = HTTPError.reading(result, detail: detail, tls: request.tls)
        fail(code, message)
    }

    private func succeed() {
        guard let easy, let head else { return fail(.other, "no response") }
        complete(
            .success(
                HTTPResponse(
                    head: head, body: body, receivedBytes: receivedBytes, openedConnection: openedConnection(easy))))
    }

    private func openedConnection(_ raw: UnsafeMutableRawPointer) -> Bool {
        var connects = 0
        rollcall_getinfo_long(raw, CURLINFO_NUM_CONNECTS, &connects)
        return connects > 0
    }

    private var handshake: Double? {
        guard let easy, openedConnection(easy) else { return nil }
        var resolved: curl_off_t = 0
        rollcall_getinfo_offset(easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved)
        var connected: curl_off_t = 0
        rollcall_getinfo_offset(easy, CURLINFO_CONNECT_TIME_T, &connected)
        return Double(max(0, connected - resolved)) / 1_000_000
    }

    private func complete(_ result: Result<HTTPResponse, HTTPError>) {
        // Here, on the loop's thread: the handle's end touches what all handles share, and whoever lets go of this object
        // last may be on any thread. The loop has taken the handle out of its set before.
        if let easy { curl_easy_cleanup(easy) }
        easy = nil
        completion?(result)
        completion = nil
    }
}

extension String {
    fileprivate var trimmingLineBreak: String {
        var view = Substring(self).utf8
        while let last = view.last, last == UInt8(ascii: "\r") || last == UInt8(ascii: "\n") { view.removeLast() }
        return String(Substring(view))
    }
}

extension Substring {
    fileprivate var trimmingSpaces: String {
        var view = utf8
        while let first = view.first, first == UInt8(ascii: " ") || first == UInt8(ascii: "\t") { view.removeFirst() }
        while let last = view.last, last == UInt8(ascii: " ") || last == UInt8(ascii: "\t") { view.removeLast() }
        return String(Substring(view))
    }
}
