import Board
import HTTPTypes
import Hummingbird

/// What holds for every request: who may ask, what is counted, and that nobody keeps an answer.
struct GateFront: RouterMiddleware {
    typealias Context = BasicRequestContext

    let tokens: TokenFile?
    let metrics: GateMetrics
    let version: String

    // As the framework calls it: off the caller's executor, unlike what this module has by default.
    @concurrent
    func handle(
        _ request: Request, context: Context, next: @concurrent (Request, Context) async throws -> Response
    ) async throws -> Response {
        let route = Self.route(of: request.uri.path)
        var response = await answer(request, route, context, next)
        // An answer to HEAD has no content (RFC 9110 section 9.3.2), a refusal neither.
        if request.method == .head { response.body = ResponseBody() }
        // A proxy that answers for us later would answer with what was true before.
        response.headers[.cacheControl] = "no-store"
        response.headers[.xContentTypeOptions] = "nosniff"
        metrics.record(route, status: response.status.code)
        return response
    }

    private func answer(
        _ request: Request, _ route: GateMetrics.Route, _ context: Context,
        _ next: @concurrent (Request, Context) async throws -> Response
    ) async -> Response {
        // A probe of the process carries no token, and learns nothing of any gate. Browsers know no bearer tokens.
        if let tokens, route != .healthz,
            !tokens.accepts(request.headers[.authorization], asPassword: route == .board)
        {
            guard route == .board else {
                var response = refusal(401, "unauthorized", "give a bearer token: Authorization: Bearer TOKEN")
                response.headers[.wwwAuthenticate] = "Bearer"
                return response
            }
            var response = Response(
                .unauthorized,
                BoardPage(
                    failure: "Sign in",
                    "The password is one of the tokens of this server, the user name anything: load the page again."),
                version)
            response.headers[.wwwAuthenticate] = "Basic realm=\"Rollcall\", charset=\"UTF-8\""
            return response
        }
        guard route != .other else { return refusal(404, "unknown-path", "there is nothing at this path") }
        guard [.get, .head].contains(request.method) else {
            var response = refusal(405, "bad-method", "this path is read with GET")
            response.headers[.allow] = "GET, HEAD"
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
        default: path.hasPrefix("/v1/gate/") ? .gate : BoardRoute.owns(path) ? .board : .other
        }
    }
}
