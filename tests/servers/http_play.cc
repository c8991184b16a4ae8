#include "servers/http_play.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <stdexcept>

namespace pkv::support {
namespace {

using Object = Json::Object;
using Array = Json::Array;

Ids ids_of(const Json& list) {
  Ids ids;
  for (const Json& id : list.elements()) ids.push_back(static_cast<std::int32_t>(id.integer()));
  return ids;
}

Array as_json(const Ids& ids) {
  Array list;
  for (const std::int32_t id : ids) list.emplace_back(id);
  return list;
}

WireReply with(Object object) { return {.body = Json(std::move(object)).dump()}; }
WireReply no_such_path() { return {.status = 404, .body = R"({"detail":"Not Found"})"}; }

std::string text_of(const Ids& ids) {
  std::string text;
  for (const std::int32_t id : ids) text += Play::text_of(id);
  return text;
}

const Json& at(const Json& object, std::string_view key) {
  const Json* found = object.find(key);
  if (found == nullptr) throw std::runtime_error(fmt::format("the request has no '{}'", key));
  return *found;
}

int count_at(const Json& object, std::string_view key) { return static_cast<int>(at(object, key).integer()); }

void send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

// Events, the last of which is no JSON where `done`.
WireReply events(const std::vector<Object>& parts, bool done) {
  std::string body;
  for (const Object& part : parts) body += "data: " + Json(part).dump() + "\n\n";
  return {.body = body + (done ? "data: [DONE]\n\n" : ""), .headers = {{"X-Parts", "events"}}};
}

bool streams(const Json& body) { return body.find("stream") != nullptr && body.find("stream")->flag(); }

std::string in_chunks(const std::string& body) {
  std::string chunks;
  for (std::size_t i = 0; i < body.size(); i += 100) {
    const std::string piece = body.substr(i, 100);
    chunks += fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
  }
  return chunks + "0\r\n\r\n";
}

}  // namespace

HttpPlay::HttpPlay(std::string dialect) : dialect_(std::move(dialect)) {}

void HttpPlay::fault(WireFault fault) {
  const std::scoped_lock lock(mutex_);
  faults_.push_back(std::move(fault));
}

void HttpPlay::serve(int socket) {
  const HttpRequest request = read_request(socket);
  if (request.method.empty()) return;
  std::optional<WireFault> fault;
  {
    const std::scoped_lock lock(mutex_);
    for (WireFault& f : faults_) {
      if (request.path.find(f.path) == std::string::npos || f.times == 0) continue;
      if (f.times > 0) --f.times;
      fault = f;
      break;
    }
  }
  const bool replaced = fault && !fault->cut && !fault->chunked && fault->delay_ms == 0;
  ++running, ++asked;
  for (int waited = 0; fault && waited < fault->delay_ms && !loopback_.stopping(); waited += 10) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const WireReply reply = replaced ? fault->reply : answer(request);
  --running;
  std::string head =
      fmt::format("HTTP/1.1 {} Status\r\nConnection: close\r\nContent-Type: application/json\r\n", reply.status);
  for (const auto& [name, value] : reply.headers) head += fmt::format("{}: {}\r\n", name, value);
  if (fault && fault->chunked) {
    return send_all(socket, head + "Transfer-Encoding: chunked\r\n\r\n" + in_chunks(reply.body));
  }
  head += fmt::format("Content-Length: {}\r\n\r\n", reply.body.size());
  send_all(socket, head + (fault && fault->cut ? reply.body.substr(0, reply.body.size() / 2) : reply.body));
}

WireReply HttpPlay::answer(const HttpRequest& request) {
  if (!key.empty()) {
    if (request.header("authorization") != "Bearer " + key) {
      return {.status = 401, .body = R"({"error":{"message":"Invalid API Key","code":401}})"};
    }
  }
  try {
    const Json body = request.body.empty() ? Json(Object{}) : parse_json(request.body, "request");
    if (dialect_ == "llama.cpp") return llama_cpp(request, body);
    if (dialect_ == "vllm") return vllm(request, body);
    if (dialect_ == "tensorrt-llm") return tensorrt(request, body);
    if (dialect_ == "sglang") return sglang(request, body);
    if (dialect_ == "tgi") return tgi(request, body);
    if (dialect_ == "ollama") return ollama(request, body);
    return openai(request, body);
  } catch (const std::exception& e) {
    return {.status = 400, .body = Json(Object{{"error", Object{{"message", e.what()}}}}).dump()};
  }
}

WireReply HttpPlay::llama_cpp(const HttpRequest& r, const Json& body) {
  if (r.path == "/v1/models") {
    return with(
        {{"data",
          Array{Object{{"id", "played.gguf"}, {"owned_by", "llamacpp"}, {"meta", Object{{"n_vocab", Play::vocab}}}}}}});
  }
  if (r.path == "/props") {
    return with({{"build_info", "b0-play"},
                 {"total_slots", 2},
                 {"model_path", "/models/played.gguf"},
                 {"default_generation_settings", Object{{"n_ctx", 4096}}}});
  }
  if (r.path == "/tokenize") return with({{"tokens", as_json(Play::tokens_of(at(body, "content").text()))}});
  if (r.path.find("action=erase") != std::string::npos) return with({{"n_erased", 0}});
  if (r.path.find("action=save") != std::string::npos && at(body, "filename").text().starts_with("..")) {
    return {.status = 400, .body = R"({"error":{"message":"Invalid filename"}})"};
  }
  if (r.path.find("action=save") != std::string::npos)
    return with({{"n_saved", static_cast<std::int64_t>(last_.size())}});
  if (r.path.find("action=restore") != std::string::npos) {
    return with({{"n_restored", static_cast<std::int64_t>(last_.size())}});
  }
  if (r.path != "/completion") return no_such_path();
  const Ids ids = ids_of(at(body, "prompt"));
  const bool among = body.find("id_slot") == nullptr;
  if (!among) last_ = ids;
  const Played played = play.answer(ids, !at(body, "cache_prompt").flag(), "", count_at(body, "n_predict"), among);
  Array top;
  for (const auto& [id, logprob] : played.candidates) {
    if (std::ssize(top) == count_at(body, "n_probs")) break;
    top.emplace_back(Object{{"id", id}, {"token", Play::text_of(id)}, {"bytes", Array{}}, {"logprob", logprob}});
  }
  Object timings{{"prompt_n", std::ssize(ids) - played.reused}};
  if (!play.faults.does_not_say) timings["cache_n"] = play.faults.says_nothing_reused ? 0 : played.reused;
  if (streams(body)) {
    return events(
        {Object{{"content", ""}, {"tokens", Array{0}}, {"stop", false}},
         Object{{"content", text_of(played.ids)}, {"tokens", as_json(played.ids)}, {"stop", false}},
         Object{{"content", ""}, {"stop", true}, {"tokens_evaluated", std::ssize(ids)}, {"timings", timings}}},
        false);
  }
  return with({{"content", text_of(played.ids)},
               {"tokens", as_json(played.ids)},
               {"tokens_evaluated", std::ssize(ids)},
               {"timings", timings},
               {"completion_probabilities", Array{Object{{"id", played.ids[0]}, {"top_logprobs", top}}}}});
}

WireReply HttpPlay::vllm(const HttpRequest& r, const Json& body) {
  if (r.path == "/v1/models") {
    return with({{"data", Array{Object{{"id", "played"}, {"owned_by", "vllm"}, {"max_model_len", 4096}}}}});
  }
  if (r.path == "/version") return with({{"version", "0.0.play"}});
  if (r.path == "/tokenize") return with({{"tokens", as_json(Play::tokens_of(at(body, "prompt").text()))}});
  if (r.path == "/metrics" && counts) {
    return {.body = fmt::format("# HELP vllm:prefix_cache_queries_total tokens\nvllm:prefix_cache_queries_total"
                                "{{engine=\"0\",model_name=\"a}} b\"}} {:.1f}\nvllm:prefix_cache_hits_total{{}} {}\n",
                                static_cast<double>(queries_), hits_)};
  }
  if (r.path != "/v1/completions") return no_such_path();
  const Ids ids = ids_of(at(body, "prompt"));
  const Played played = play.answer(ids, false, at(body, "cache_salt").text(), count_at(body, "max_tokens"), false);
  Object top;
  for (const auto& [id, logprob] : played.candidates) top[fmt::format("token_id:{}", id)] = logprob;
  Object choice{{"text", text_of(played.ids)},
                {"token_ids", as_json(played.ids)},
                {"logprobs", Object{{"top_logprobs", Array{top}}}}};
  if (body.find("prompt_logprobs") != nullptr) {
    Array list{nullptr};
    for (std::size_t i = 1; i < ids.size(); ++i) {
      list.emplace_back(Object{{std::to_string(ids[i]), Object{{"logprob", -0.01 * ids[i]}, {"rank", 1}}}});
    }
    choice["prompt_logprobs"] = list;
  }
  queries_ += std::ssize(ids) + (shared ? 7 : 0);
  hits_ += played.reused;
  Object usage{{"prompt_tokens", std::ssize(ids)}};
  // At 0 it is left out, as many versions do.
  if (played.reused > 0 && !play.faults.does_not_say) {
    usage["prompt_tokens_details"] = Object{{"cached_tokens", played.reused}};
  }
  if (streams(body)) {
    return events({Object{{"choices", Array{Object{{"text", text_of(played.ids)}}}}},
                   Object{{"choices", Array{}}, {"usage", usage}}},
                  true);
  }
  return with({{"choices", Array{choice}}, {"usage", usage}});
}

// Refuses whatever it does not know, and gives five candidates at most.
WireReply HttpPlay::tensorrt(const HttpRequest& r, const Json& body) {
  if (r.path == "/v1/models") return with({{"data", Array{Object{{"id", "played"}, {"owned_by", "tensorrt_llm"}}}}});
  if (r.path == "/version") return with({{"version", "1.play"}});
  if (r.path == "/_internal/tokenize") {
    return with({{"tokens", as_json(Play::tokens_of(at(body, "prompt").text()))}});
  }
  if (r.path != "/v1/completions") return no_such_path();
  for (const auto& [name, value] : body.members()) {
    if (std::string(" model prompt max_tokens temperature logprobs stream stream_options ").find(" " + name + " ") ==
        std::string::npos) {
      return {.status = 400, .body = R"({"object":"error","message":"Extra inputs are not permitted","code":400})"};
    }
  }
  constexpr int kMost = 5;
  if (body.find("logprobs") != nullptr && count_at(body, "logprobs") > kMost) {
    return {.status = 400, .body = R"({"object":"error","message":"logprobs is too large","code":400})"};
  }
  const Json& prompt = at(body, "prompt");
  const Ids ids = prompt.is_text() ? Play::tokens_of(prompt.text()) : ids_of(prompt);
  const Played played = play.answer(ids, false, "", count_at(body, "max_tokens"), false);
  Object top;
  for (int i = 0; i < kMost; ++i) top[Play::text_of(played.candidates[i].first)] = played.candidates[i].second;
  const Object usage{{"prompt_tokens", std::ssize(ids)},
                     {"prompt_tokens_details", Object{{"cached_tokens", played.reused}}}};
  if (streams(body)) {
    return events({Object{{"choices", Array{Object{{"text", text_of(played.ids)}}}}},
                   Object{{"choices", Array{}}, {"usage", usage}}},
                  true);
  }
  return with(
      {{"choices", Array{Object{{"text", text_of(played.ids)}, {"logprobs", Object{{"top_logprobs", Array{top}}}}}}},
       {"usage", usage}});
}

WireReply HttpPlay::sglang(const HttpRequest& r, const Json& body) {
  if (r.path == "/v1/models") return with({{"data", Array{Object{{"id", "played"}, {"owned_by", "sglang"}}}}});
  if (r.path == "/get_server_info") return with({{"version", "0.play"}, {"disable_radix_cache", false}});
  if (r.path == "/tokenize") return with({{"tokens", as_json(Play::tokens_of(at(body, "prompt").text()))}});
  if (r.path == "/flush_cache") {
    play.forget();
    return {.body = "Cache flushed."};
  }
  if (r.path != "/generate") return no_such_path();
  const Ids ids = ids_of(at(body, "input_ids"));
  const Played played = play.answer(ids, false, "", count_at(at(body, "sampling_params"), "max_new_tokens"), false);
  Array top;
  for (const auto& [id, logprob] : played.candidates) top.emplace_back(Array{logprob, id, nullptr});
  Array scores{Array{nullptr, ids[0], nullptr}};
  for (std::size_t i = 1; i < ids.size(); ++i) scores.emplace_back(Array{-0.01 * ids[i], ids[i], nullptr});
  if (streams(body)) {  // each holds all of the text so far
    const Object meta{{"prompt_tokens", std::ssize(ids)}, {"cached_tokens", played.reused}};
    const std::string text = text_of(played.ids);
    return events({Object{{"text", text}, {"meta_info", meta}}, Object{{"text", text}, {"meta_info", meta}}}, true);
  }
  return with({{"text", text_of(played.ids)},
               {"output_ids", as_json(played.ids)},
               {"meta_info", Object{{"prompt_tokens", std::ssize(ids)},
                                    {"cached_tokens", played.reused},
                                    {"input_token_logprobs", scores},
                                    {"output_top_logprobs", Array{top}}}}});
}

WireReply HttpPlay::tgi(const HttpRequest& r, const Json& body) {
  if (r.path == "/info")
    return with({{"router", "text-generation-router"}, {"version", "3.play"}, {"model_id", "played"}});
  if (r.path != "/generate" && r.path != "/generate_stream") return no_such_path();
  const Json& parameters = at(body, "parameters");
  const Played played =
      play.answer(Play::tokens_of(at(body, "inputs").text()), false, "", count_at(parameters, "max_new_tokens"), false);
  Array top, tokens;
  for (int i = 0; i < count_at(parameters, "top_n_tokens"); ++i) {
    const auto& [id, logprob] = played.candidates[i];
    top.emplace_back(Object{{"id", id}, {"text", Play::text_of(id)}, {"logprob", logprob}});
  }
  if (r.path == "/generate_stream") {
    const std::int32_t id = played.ids[0];
    return events({Object{{"token", Object{{"id", id}, {"text", Play::text_of(id)}}}, {"generated_text", nullptr}}},
                  false);
  }
  for (const std::int32_t id : played.ids) tokens.emplace_back(Object{{"id", id}, {"text", Play::text_of(id)}});
  return with(
      {{"generated_text", text_of(played.ids)}, {"details", Object{{"tokens", tokens}, {"top_tokens", Array{top}}}}});
}

WireReply HttpPlay::ollama(const HttpRequest& r, const Json& body) {
  if (r.path == "/v1/models") return with({{"data", Array{Object{{"id", "played"}, {"owned_by", "library"}}}}});
  if (r.path == "/api/version") return with({{"version", "0.play"}});
  if (r.path != "/api/generate") return no_such_path();
  const Played played = play.answer(Play::tokens_of(at(body, "prompt").text()), false, "",
                                    count_at(at(body, "options"), "num_predict"), false);
  Array top;
  for (const auto& [id, logprob] : played.candidates)
    top.emplace_back(Object{{"token", Play::text_of(id)}, {"logprob", logprob}});
  if (streams(body)) {  // lines of JSON
    return {.body = Json(Object{{"response", text_of(played.ids)}, {"done", false}}).dump() + "\n" +
                    Json(Object{{"response", ""}, {"done", true}}).dump() + "\n",
            .headers = {{"X-Parts", "lines"}}};
  }
  return with({{"response", text_of(played.ids)}, {"logprobs", Array{Object{{"top_logprobs", top}}}}});
}

WireReply HttpPlay::openai(const HttpRequest& r, const Json& body) {
  const bool chat = dialect_ == "chat", transformers = dialect_ == "transformers",
             python = dialect_ == "llama-cpp-python";
  if (r.path == "/v1/models") {
    Object model{{"id", "played"}, {"owned_by", python ? "me" : "somebody"}};
    if (transformers) model["status"] = Object{{"value", "loaded"}};
    return with({{"data", Array{model}}});
  }
  if (transformers && r.path == "/load_model") return {.status = 405, .body = R"({"detail":"Method Not Allowed"})"};
  if (python && r.path == "/extras/tokenize") return with({{"tokens", Array{1, 2}}});
  if (r.path != (chat ? "/v1/chat/completions" : "/v1/completions")) return no_such_path();
  const std::string text =
      chat ? at(at(body, "messages").elements().front(), "content").text() : at(body, "prompt").text();
  const Played played = play.answer(Play::tokens_of(text), false, "", count_at(body, "max_tokens"), false);
  Object usage{{"prompt_tokens", std::ssize(text)}};
  const bool says = !play.faults.does_not_say && !transformers && !python;
  if (says) usage["prompt_tokens_details"] = Object{{"cached_tokens", played.reused}};
  if (streams(body)) {
    Object choice{{"text", text_of(played.ids)}};
    if (chat) choice = {{"delta", Object{{"content", text_of(played.ids)}}}};
    return events({Object{{"choices", Array{choice}}}}, !transformers);
  }
  if (chat) {
    Array top;
    for (const auto& [id, logprob] : played.candidates)
      top.emplace_back(Object{{"token", Play::text_of(id)}, {"logprob", logprob}});
    return with({{"choices", Array{Object{{"message", Object{{"content", text_of(played.ids)}}},
                                          {"logprobs", Object{{"content", Array{Object{{"top_logprobs", top}}}}}}}}},
                 {"usage", usage}});
  }
  Object top;
  for (int i = 0; i < (python ? 20 : 5); ++i)
    top[Play::text_of(played.candidates[i].first)] = played.candidates[i].second;
  if (python && body.find("echo") != nullptr) {
    Array scores{nullptr};
    for (std::size_t i = 1; i < text.size(); ++i) scores.emplace_back(-0.5);
    scores.emplace_back(-0.25);  // of what it wrote
    return with({{"choices", Array{Object{{"text", text + text_of(played.ids)},
                                          {"logprobs", Object{{"token_logprobs", scores}}}}}},
                 {"usage", usage}});
  }
  Json logprobs = play.faults.no_logprobs || transformers ? Json(nullptr) : Json(Object{{"top_logprobs", Array{top}}});
  return with({{"choices", Array{Object{{"text", text_of(played.ids)}, {"logprobs", logprobs}}}}, {"usage", usage}});
}

}  // namespace pkv::support
