import Board
import HTTPTypes
import Hummingbird
import Logging
import Readiness

/// The way from a request to its answer.
struct GateRoutes: Sendable {
    /// The most different questions whose reads are under way.
    static let maximumQuestions = 64

    private enum Key: Hashable {
        case gate(GateQuestion), standing, audit(CentralStore.AuditFilter, Int64?)
    }
    private enum Finding: Sendable {
        case verdict(Verdict)
        case standing(FleetStanding)
        case audit(CentralStore.AuditPage)
    }

    let gate: any ReadinessGate
    let tokens: TokenFile?
    let patience: Duration
    let scrapePatience: Duration
    let metrics: GateMetrics
    let version: String
    let logger: Logger
    private let reads = FreshReads<Key, Finding>(limit: Self.maximumQuestions)

    init(
        gate: any ReadinessGate, tokens: TokenFile?, patience: Duration, scrapePatience: Duration, version: String,
        logger: Logger
    ) {
        self.gate = gate
        self.tokens = tokens
        self.patience = patience
        self.scrapePatience = scrapePatience
        self.version = version
        metrics = GateMetrics(version: version)
        self.logger = logger
    }

    func router() -> Router<BasicRequestContext> {
        // Probes and load balancers ask with HEAD.
        let router = Router(options: .autoGenerateHeadEndpoints)
        router.addMiddleware { GateFront(tokens: tokens, metrics: metrics, version: version) }
        router.get("healthz") { _, _ in Response(.ok, "ok\n", as: "text/plain; charset=utf-8") }
        router.get("metrics") { _, _ in
            Response(
                .ok, metrics.text(try? await standing(within: scrapePatience)),
                as: "text/plain; version=0.0.4; charset=utf-8")
        }
        router.get("v1/status") { _, _ in
            do {
                return Response(.ok, try gate.document(of: try await standing(within: patience)) + "\n", as: Self.json)
            } catch {
                return response(GateAnswer(unknown: "\(error)"))
            }
        }
        router.get("v1/gate/:environment/:list") { request, context in
            let start = ContinuousClock.now
            let answer = await answer(
                context.parameters.get("environment") ?? "", context.parameters.get("list") ?? "",
                request.uri.queryParameters)
            metrics.record(answer.outcome, seconds: (ContinuousClock.now - start) / .seconds(1))
            return response(answer)
        }
        for path in ["", "environments/**", "audit", "waivers"] as [RouterPath] {
            router.get(path) { request, _ in await page(request) }
        }
        return router
    }

    private static let json = "application/json"

    // MARK: Questions

    private func answer(_ environment: String, _ list: String, _ query: Parameters) async -> GateAnswer {
        let question: GateQuestion
        do {
            question = try GateQuestion(
                environment: environment, list: list, query: query.map { ("\($0.key)", "\($0.value)") })
        } catch {
            return GateAnswer(refused: 400, code: "bad-question", "\(error)")
        }
        do {
            let finding = try await find(.gate(question), within: patience) {
                .verdict(
                    try await gate.verdict(
                        on: question.list, in: question.environment, about: question.subject,
                        generation: question.generation))
            }
            guard case .verdict(let verdict) = finding else { return GateAnswer(unknown: "nothing was decided") }
            return GateAnswer(verdict, document: try gate.document(of: verdict) + "\n")
        } catch let error as ReadinessError where error.code == .invalidFleet {
            return GateAnswer(refused: 404, code: "unknown-environment", "\(error)")
        } catch {
            logger.warning(
                "not decided", metadata: ["gate": "\(question.environment)/\(question.list)", "reason": "\(error)"])
            return GateAnswer(unknown: "\(error)")
        }
    }

    /// A page of the board.
    private func page(_ request: Request) async -> Response {
        let route: BoardRoute
        do throws(BoardRoute.Fault) {
            let query = request.uri.queryParameters.map { ("\($0.key)", "\($0.value)") }
            route = try BoardRoute(path: request.uri.path, query: query)
        } catch {
            return Response(
                error.isUnknownPath ? .notFound : .badRequest, BoardPage(failure: "Not found", error.message), version)
        }
        do {
            guard let page = BoardPage(route, try await content(of: route)) else {
                return Response(
                    .notFound,
                    BoardPage(
                        failure: "Not found",
                        "The fleet has nothing of this name: it may have had, or the name is misspelt."), version)
            }
            return Response(.ok, page, version)
        } catch {
            logger.warning("no board", metadata: ["page": "\(request.uri.path)", "reason": "\(error)"])
            var response = Response(
                .serviceUnavailable,
                BoardPage(failure: "Not known", "Nothing is known at present: \(error)", route: route), version)
            response.headers[.retryAfter] = "10"
            return response
        }
    }

    private func content(of route: BoardRoute) async throws -> BoardPage.Content {
        guard case .audit(let filter, let before) = route else {
            return .board(Board(try await standing(within: patience)))
        }
        let finding = try await find(.audit(filter, before), within: patience) {
            .audit(try await gate.audit(filter, before: before))
        }
        guard case .audit(let page) = finding else { throw Undecided("nothing was read") }
        return .audit(page)
    }

    private func standing(within patience: Duration) async throws -> FleetStanding {
        let finding = try await find(.standing, within: patience) { .standing(try await gate.standing()) }
        guard case .standing(let standing) = finding else { throw Undecided("nothing was decided") }
        return standing
    }

    private func find(
        _ key: Key, within patience: Duration, _ body: @escaping @Sendable () async throws -> Finding
    ) async throws -> Finding {
        guard let read = await reads.read(key, body) else {
            throw Undecided("\(Self.maximumQuestions) other questions are being answered: ask again")
        }
        guard let finding = try await read.value(within: patience) else {
            throw Undecided("the object store did not answer within \(patience.rounded): see that it is reachable")
        }
        return finding
    }

    /// Nothing is known, for a reason of the server's own.
    private struct Undecided: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    private func response(_ answer: GateAnswer) -> Response {
        var response = Response(HTTPResponse.Status(code: answer.status), answer.body, as: Self.json)
        if let seconds = answer.retryAfter { response.headers[.retryAfter] = "\(seconds)" }
        return response
    }
}

extension Response {
    init(_ status: HTTPResponse.Status, _ text: String, as type: String) {
        self.init(
            status: status, headers: [.contentType: type], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}

extension Response {
    /// A page of the board, with what browsers may do with it.
    init(_ status: HTTPResponse.Status, _ page: BoardPage, _ version: String) {
        var generator = SystemRandomNumberGenerator()
        let nonce = BoardPage.nonce(from: &generator)
        self.init(status, page.text(nonce: nonce, version: version), as: "text/html; charset=utf-8")
        headers[.contentSecurityPolicy] = BoardPage.contentSecurityPolicy(nonce: nonce)
        // For browsers that do not know frame-ancestors; and no other site may embed or open into the page.
        for (name, value) in [
            ("X-Frame-Options", "DENY"), ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"), ("Cross-Origin-Opener-Policy", "same-origin"),
        ] {
            guard let name = HTTPField.Name(name) else { continue }
            headers[name] = value
        }
    }
}
