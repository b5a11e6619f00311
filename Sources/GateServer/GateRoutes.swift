import HTTPTypes
import Hummingbird
import Logging
import Readiness

/// The way from a request to its answer.
struct GateRoutes: Sendable {
    /// The most different questions whose reads are under way.
    static let maximumQuestions = 64

    private enum Key: Hashable { case gate(ListName, EnvironmentName), standing }
    private enum Finding: Sendable {
        case verdict(Verdict)
        case standing(GateStanding)
    }

    let gate: any ReadinessGate
    let tokens: TokenFile?
    let patience: Duration
    let metrics: GateMetrics
    let logger: Logger
    private let reads = FreshReads<Key, Finding>(limit: Self.maximumQuestions)

    init(gate: any ReadinessGate, tokens: TokenFile?, patience: Duration, metrics: GateMetrics, logger: Logger) {
        self.gate = gate
        self.tokens = tokens
        self.patience = patience
        self.metrics = metrics
        self.logger = logger
    }

    func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.addMiddleware { Front(tokens: tokens, metrics: metrics) }
        router.get("healthz") { _, _ in Response(.ok, "ok\n", as: "text/plain; charset=utf-8") }
        router.get("metrics") { _, _ in
            Response(.ok, metrics.text(try? await standing().verdicts), as: "text/plain; version=0.0.4; charset=utf-8")
        }
        router.get("v1/status") { _, _ in
            do {
                return Response(.ok, try await standing().document + "\n", as: Self.json)
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
        return router
    }

    private static let json = "application/json"

    // MARK: Questions

    private func answer(_ environment: String, _ list: String, _ query: Parameters) async -> GateAnswer {
        // A misspelt `generation` must not become a question for any generation.
        if let unknown = query.first(where: { $0.key != "generation" })?.key {
            return GateAnswer(
                refused: 400, code: "bad-question",
                "unknown parameter '\(unknown.prefix(100))': the only one is 'generation'")
        }
        let question: GateQuestion
        do {
            question = try GateQuestion(
                environment: environment, list: list, generation: query.get("generation").map { "\($0)" })
        } catch {
            return GateAnswer(refused: 400, code: "bad-question", "\(error)")
        }
        do {
            let finding = try await find(.gate(question.list, question.environment)) {
                .verdict(try await gate.verdict(on: question.list, in: question.environment))
            }
            guard case .verdict(let verdict) = finding else { return GateAnswer(unknown: "nothing was decided") }
            let bound = question.generation.map { verdict.bound(to: $0) } ?? verdict
            return GateAnswer(bound, document: try gate.document(of: bound) + "\n")
        } catch let error as ReadinessError where error.code == .invalidFleet {
            return GateAnswer(refused: 404, code: "unknown-environment", "\(error)")
        } catch {
            logger.warning(
                "not decided", metadata: ["gate": "\(question.environment)/\(question.list)", "reason": "\(error)"])
            return GateAnswer(unknown: "\(error)")
        }
    }

    private func standing() async throws -> GateStanding {
        let finding = try await find(.standing) { .standing(try await gate.standing()) }
        guard case .standing(let standing) = finding else { throw Undecided("nothing was decided") }
        return standing
    }

    private func find(_ key: Key, _ body: @escaping @Sendable () async throws -> Finding) async throws -> Finding {
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

/// What holds for every request: who may ask, what is counted, and that nobody keeps an answer.
private struct Front: RouterMiddleware {
    typealias Context = BasicRequestContext

    let tokens: TokenFile?
    let metrics: GateMetrics

    // As the framework calls it: off the caller's executor, unlike what this module has by default.
    @concurrent
    func handle(
        _ request: Request, context: Context, next: @concurrent (Request, Context) async throws -> Response
    ) async throws -> Response {
        let route = Self.route(of: request.uri.path)
        var response = await answer(request, route, context, next)
        // A proxy that answers for us later would answer with what was true before.
        response.headers[.cacheControl] = "no-store"
        metrics.record(route, status: response.status.code)
        return response
    }

    private func answer(
        _ request: Request, _ route: GateMetrics.Route, _ context: Context,
        _ next: @concurrent (Request, Context) async throws -> Response
    ) async -> Response {
        // A probe of the process carries no token, and learns nothing of any gate.
        if let tokens, route != .healthz, !tokens.accepts(request.headers[.authorization]) {
            var response = refusal(401, "unauthorized", "give a bearer token: Authorization: Bearer TOKEN")
            response.headers[.wwwAuthenticate] = "Bearer"
            return response
        }
        guard route != .other else { return refusal(404, "unknown-path", "there is nothing at this path") }
        guard request.method == .get else {
            var response = refusal(405, "bad-method", "this path is read with GET")
            response.headers[.allow] = "GET"
            return response
        }
        do {
            return try await next(request, context)
        } catch {
            return refusal(404, "unknown-path", "there is nothing at this path")
        }
    }

    private func refusal(_ status: Int, _ code: String, _ message: String) -> Response {
        Response(
            HTTPResponse.Status(code: status), GateAnswer(refused: status, code: code, message).body,
            as: "application/json")
    }

    private static func route(of path: String) -> GateMetrics.Route {
        switch path {
        case "/healthz": .healthz
        case "/metrics": .metrics
        case "/v1/status": .status
        default: path.hasPrefix("/v1/gate/") ? .gate : .other
        }
    }
}

extension Response {
    fileprivate init(_ status: HTTPResponse.Status, _ text: String, as type: String) {
        self.init(
            status: status, headers: [.contentType: type], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}
