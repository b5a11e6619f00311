import FoundationEssentials
import OCI

extension ScriptedRegistry {
    typealias Exchange = ScriptedServer.Exchange
    typealias Request = ScriptedServer.Request
    typealias Response = ScriptedServer.Response

    func route(_ exchange: Exchange) throws -> Response {
        let request = exchange.request
        if request.path == "/token" { return token(request) }
        if let refusal = refusal(request) { return refusal }
        if request.path == "/v2/" || request.path == "/v2" { return Response(200, [:], text: "{}") }
        guard request.path.hasPrefix("/v2/") else { return .failure(404, "NOT_FOUND") }
        let parts = request.path.dropFirst(4).split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        func name(_ suffix: Int) -> String { parts.dropLast(suffix).joined(separator: "/") }
        if parts.count >= 4, parts[parts.count - 3] == "blobs", parts[parts.count - 2] == "uploads" {
            let session = parts[parts.count - 1]
            return session.isEmpty
                ? try startUpload(exchange, name(3)) : try continueUpload(exchange, name(3), session)
        }
        guard parts.count >= 3, let last = parts.last else { return .failure(404, "NOT_FOUND") }
        switch parts[parts.count - 2] {
        case "blobs": return blob(request, name(2), last)
        case "manifests": return try manifest(exchange, name(2), last.percentDecoded)
        case "tags" where last == "list": return tags(request, name(2))
        case "referrers": return referrers(name(2), last)
        default: return .failure(404, "NOT_FOUND")
        }
    }

    // MARK: Authorization

    private func refusal(_ request: Request) -> Response? {
        let challenge: String
        switch behaviour.authorization {
        case .anonymous:
            return nil
        case .basic(let user, let password):
            if request.header("Authorization") == Self.basic(user, password) { return nil }
            challenge = "Basic realm=\"scripted\""
        case .bearer:
            let token = request.header("Authorization").flatMap { $0.hasPrefix("Bearer ") ? $0.dropFirst(7) : nil }
            if let token, state.read({ $0.tokens.contains(String(token)) }) { return nil }
            let path = request.path.dropFirst(4)
            let scope = ["/blobs/", "/manifests/", "/tags/", "/referrers/"].compactMap { path.firstRange(of: $0) }
                .first.map {
                    let actions = ["GET", "HEAD"].contains(request.method) ? "pull" : "pull,push"
                    return ",scope=\"repository:\(path[..<$0.lowerBound]):\(actions)\""
                }
            let error = token == nil ? "" : ",error=\"invalid_token\""
            challenge = "Bearer realm=\"\(origin)/token\",service=\"scripted\"\(scope ?? "")\(error)"
        }
        var response = Response.failure(401, "UNAUTHORIZED")
        response.setHeader("WWW-Authenticate", challenge)
        return response
    }

    private func token(_ request: Request) -> Response {
        guard case .bearer(let user, let password) = behaviour.authorization else { return Response(404) }
        guard request.header("Authorization") == Self.basic(user, password) else {
            return .failure(401, "UNAUTHORIZED")
        }
        let token = state.update { state in
            state.nextToken += 1
            state.tokens.insert("token-\(state.nextToken)")
            return "token-\(state.nextToken)"
        }
        return Response(
            200, ["Content-Type": "application/json"], text: "{\"token\":\"\(token)\",\"expires_in\":300}")
    }

    private static func basic(_ user: String, _ password: String) -> String {
        "Basic \(Data("\(user):\(password)".utf8).base64EncodedString())"
    }

    // MARK: Blobs

    private func blob(_ request: Request, _ repository: String, _ text: String) -> Response {
        guard let digest = try? Digest(text) else { return .failure(400, "DIGEST_INVALID") }
        guard let content = blob(digest, in: repository) else { return .failure(404, "BLOB_UNKNOWN") }
        switch request.method {
        case "DELETE":
            remove(digest, from: repository)
            return Response(202)
        case "GET" where behaviour.redirectsBlobs:
            let signature = state.update { state in
                state.nextSignature += 1
                state.signatures.insert("\(state.nextSignature)")
                return state.nextSignature
            }
            return .redirect(to: "\(storage.origin)/\(digest)?X-Signature=\(signature)&opaque=%2Fa+b%20c")
        case "GET", "HEAD":
            return serve(content, digest, request)
        default:
            return .failure(405, "UNSUPPORTED")
        }
    }

    /// The storage behind redirects: as S3, it refuses two ways of authentication at once (400).
    func answerFromStorage(_ exchange: Exchange) -> Response {
        let request = exchange.request
        if request.header("Authorization") != nil {
            return Response(400, [:], text: "<Error><Code>InvalidArgument</Code></Error>")
        }
        let isSigned = state.read { $0.signatures.contains(request.queryValue("X-Signature") ?? "") }
        guard isSigned else { return Response(403, [:], text: "<Error><Code>AccessDenied</Code></Error>") }
        guard let digest = try? Digest(String(request.path.dropFirst())),
            let content = state.read({ $0.contents[digest] })
        else { return Response(404) }
        return serve(content, nil, request)
    }

    private func serve(_ content: Content, _ digest: Digest?, _ request: Request) -> Response {
        var response = Response(200, ["Content-Type": "application/octet-stream"])
        if let digest, behaviour.sendsContentDigest { response.setHeader("Docker-Content-Digest", "\(digest)") }
        guard behaviour.honoursRange, request.method == "GET", let header = request.header("Range") else {
            response.body = content.body(0..<content.count)
            return response
        }
        guard let range = Self.range(header, of: content.count) else {
            var failure = Response.failure(416, "RANGE_INVALID")
            failure.setHeader("Content-Range", "bytes */\(content.count)")
            return failure
        }
        response.status = 206
        response.setHeader("Content-Range", "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(content.count)")
        response.body = content.body(range)
        return response
    }

    /// `bytes=A-B` or `bytes=A-` cut to what there is; `nil` where nothing of it is there.
    private static func range(_ header: String, of count: Int64) -> Range<Int64>? {
        guard header.hasPrefix("bytes=") else { return nil }
        let ends = header.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = Int64(ends[0]), first < count else { return nil }
        guard !ends[1].isEmpty else { return first..<count }
        guard let last = Int64(ends[1]), last >= first else { return nil }
        return first..<min(last + 1, count)
    }
}

extension ScriptedServer.Response {
    /// An error in the specification's form.
    static func failure(_ status: Int, _ code: String) -> ScriptedServer.Response {
        ScriptedServer.Response(
            status, ["Content-Type": "application/json"],
            text: "{\"errors\":[{\"code\":\"\(code)\",\"message\":\"scripted\",\"detail\":{\"any\":[1]}}]}")
    }
}
