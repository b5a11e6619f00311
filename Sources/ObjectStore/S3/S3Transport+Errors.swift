import HTTP

extension S3Transport {
    /// The error for a refusal: what the store said, what that means here, and what to do.
    func refusal(_ answer: S3Answer, of call: Call, _ credentials: S3Credentials) -> ObjectStoreError {
        let fault = answer.fault
        let said = fault.code.isEmpty ? "\(answer.status)" : "\(answer.status) \(fault.code)"
        func error(_ code: ObjectStoreError.Code, _ message: String) -> ObjectStoreError {
            ObjectStoreError(code, "\(message) (\(said))", at: bucket.place(of: call.key))
        }
        switch fault.code {
        case "RequestTimeTooSkewed": return error(.clockSkewed, skew(answer))
        case "NoSuchBucket":
            return error(.missingRoot, "the bucket does not exist: check its name and the endpoint, or create it")
        case "InvalidAccessKeyId":
            return error(
                .permissionDenied, "the store does not know the access key from \(credentials.origin): renew it there")
        case "SignatureDoesNotMatch":
            return error(
                .permissionDenied,
                "the store refuses the signature: check the secret key from \(credentials.origin), and the region"
                    + " '\(bucket.region)'")
        case "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
            return error(
                .permissionDenied,
                "the temporary credentials from \(credentials.origin) have expired or are not valid: renew them there")
        case "QuotaExceeded", "QuotaExceededException", "InsufficientCapacity", "XMinioStorageFull":
            return error(.full, "the bucket or the store is full: raise its quota or free space there")
        case "EntityTooLarge":
            return error(.tooLarge, "the store takes no object as large as this one")
        case "NotImplemented", "MethodNotAllowed":
            return error(.unsupportedStore, "the store has no \(call.method.rawValue) with the headers that this needs")
        default: break
        }
        switch answer.status {
        case 300...399: return error(.invalidLocation, moved(answer))
        case 400 where fault.region.map { $0 != bucket.region } ?? false: return error(.invalidLocation, moved(answer))
        case 401, 403:
            return error(
                .permissionDenied,
                "the store denies this to the credentials from \(credentials.origin): allow reading, writing, deleting and"
                    + " listing there; where listing is not allowed, stores answer so for absent objects too")
        case 404:
            return error(
                .unavailable, "the server does not answer as an S3 store does: check the endpoint and the style")
        case 501: return error(.unsupportedStore, "the store does not implement what this needs")
        case 507: return error(.full, "the store is full: free space there")
        case 429, 500...: return error(.unavailable, "the store cannot answer now: try again, or see its logs")
        default:
            let message = credentials.redacting(fault.message)
            return error(
                .unavailable, "the store refuses the request: \(message.isEmpty ? "no reason given" : message)")
        }
    }

    private func skew(_ answer: S3Answer) -> String {
        let advice = "set this machine's clock, for example with NTP"
        guard let date = answer.headers["Date"], let theirs = HTTPDate.unixTime(of: date) else {
            return "this machine's clock and the store's are too far apart: \(advice)"
        }
        let ahead = (access.timing.unixTime() - Double(theirs)).rounded()
        guard let seconds = Int64(exactly: ahead), seconds != 0 else {
            return "the request took too long to reach the store, or a clock changed meanwhile: \(advice)"
        }
        return
            "this machine's clock is \(abs(seconds)) seconds \(seconds > 0 ? "ahead of" : "behind") the store's: \(advice)"
    }

    /// The bucket is elsewhere. Redirects are not followed: a signature is for one host and one region.
    private func moved(_ answer: S3Answer) -> String {
        let fault = answer.fault
        if let region = fault.region, !region.isEmpty, region != bucket.region {
            return
                "the bucket is in the region '\(region)', not in '\(bucket.region)': write region=\(region) in the store's"
                + " URL" + (fault.endpoint.map { ", and the endpoint \($0.shownAsURL)" } ?? "")
        }
        let target = (try? answer.headers["Location"].map(HTTPURL.init(_:)))?.map { "\($0.scheme)://\($0.authority)" }
        guard let place = fault.endpoint?.shownAsURL ?? target else {
            return "the server redirects elsewhere: check the endpoint in the store's URL"
        }
        return "the server redirects to \(place): write the right endpoint in the store's URL"
    }

    /// The error for a request without an answer.
    func failure(_ error: HTTPError, of call: Call) -> ObjectStoreError {
        let message =
            error.code == .untrustedCertificate
            ? "the server's certificate is not trusted: name its certificate authority with ca=FILE in the store's URL"
            : "no answer from the store: \(error.message)"
        return ObjectStoreError(.unavailable, message, at: bucket.place(of: call.key))
    }

    func cancelled(_ call: Call) -> ObjectStoreError {
        ObjectStoreError(.unavailable, "the request was cancelled", at: bucket.place(of: call.key))
    }
}
