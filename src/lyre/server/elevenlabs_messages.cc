#include "lyre/server/elevenlabs_messages.h"

#include <algorithm>
#include <boost/json.hpp>

#include "lyre/base/quote.h"
#include "lyre/server/base64.h"
#include "lyre/server/json_fields.h"

namespace lyre::server {
namespace json = boost::json;
namespace {

constexpr size_t kMostContexts = 16;  // of a connection, at a time
constexpr size_t kMostNameBytes = 256;
constexpr std::string_view kDefaultContext = "default";

SendText message(json::object fields) { return {json::serialize(fields)}; }

}  // namespace

void ElevenLabsMessages::text(std::string_view text, Orders& orders) {
  if (last_) return;
  JsonFields fields(text);
  const std::string piece = fields.text("text").value_or("");
  const bool flushes = fields.boolean("flush").value_or(false);
  const bool has_text = fields.text("text").has_value();
  const bool closes_context = fields.boolean("close_context").value_or(false);
  const bool closes_socket = fields.boolean("close_socket").value_or(false);
  // try_trigger_generation and generation_config say when to speak what has come. Here it is spoken
  // as soon as it is complete enough, which is what they are for.
  std::string name(kDefaultContext);
  if (settings_.multi) name = fields.text("context_id").value_or(name);
  if (name.size() > kMostNameBytes) {
    fields.fail({400, "'context_id' is longer than 256 bytes.", "context_id", "too_long"});
  }
  if (fields.error() != nullptr) {
    refuse(fields.error()->message, fields.error()->code, orders);
    return;
  }
  if (settings_.multi && closes_socket) return close_socket(orders);
  if (settings_.multi && closes_context) return close_context(name, orders);

  Context* context = find(name, false);
  if (context == nullptr && !piece.empty()) context = open_context(name, fields, orders);
  if (context != nullptr) {
    add_text(*context, piece, orders);
    if (flushes) flush(*context, orders);
  }
  // The end of the text; with contexts it only keeps the connection alive.
  if (!settings_.multi && has_text && piece.empty() && !flushes) {
    last_ = true;
    if (context != nullptr) finish(*context, orders);
    close_if_over(orders);
  }
}

ElevenLabsMessages::Context* ElevenLabsMessages::open_context(const std::string& name,
                                                              JsonFields& fields, Orders& orders) {
  Context context;
  context.name = name;
  context.speed = fields.number("voice_settings.speed").value_or(1.0);
  if (fields.error() != nullptr) {
    refuse(fields.error()->message, fields.error()->code, orders);
    return nullptr;
  }
  if (contexts_.size() == kMostContexts) {
    refuse("A connection may have 16 contexts at a time; close one.", "too_many_contexts", orders);
    return nullptr;
  }
  contexts_.push_back(std::move(context));
  return &contexts_.back();
}

void ElevenLabsMessages::add_text(Context& context, const std::string& text, Orders& orders) {
  if (context.speech != 0) {
    if (text.empty()) return;
    orders.push_back(AppendText{context.speech, text});
    if (!is_blank(text)) context.flushed = false;
  } else if (!is_blank(text)) {  // the first message is a blank by contract
    OpenSpeech open;
    open.speech = context.speech = ++last_speech_;
    open.request.text = text;
    open.request.more_text = true;
    open.request.voice = settings_.voice;
    open.request.sampling.seed = settings_.seed;
    open.format = settings_.format;
    open.speed = context.speed;
    orders.push_back(std::move(open));
    context.flushed = false;
  }
}

void ElevenLabsMessages::flush(Context& context, Orders& orders) {
  if (context.speech == 0) return;
  orders.push_back(FlushText{context.speech});
  context.flushed = true;
}

void ElevenLabsMessages::finish(Context& context, Orders& orders) {
  if (context.speech == 0) {
    const std::string name = context.name;
    erase(context);
    if (settings_.multi) send_final(name, orders);
    return;
  }
  orders.push_back(FinishText{context.speech});
  context.closing = true;
}

/// By contract what was flushed is still spoken. Clients end a context with a flush and a close,
/// and interrupt it by a close alone, or by another one while it is spoken to its end.
void ElevenLabsMessages::close_context(const std::string& name, Orders& orders) {
  Context* context = find(name, false);
  if (context != nullptr && context->flushed) return finish(*context, orders);
  if (context == nullptr) context = find(name, true);
  if (context == nullptr) return;
  orders.push_back(CancelSpeech{context->speech});
  erase(*context);
  send_final(name, orders);
}

void ElevenLabsMessages::close_socket(Orders& orders) {
  last_ = true;
  std::vector<std::string> open;
  for (const Context& context : contexts_) {
    if (!context.closing) open.push_back(context.name);
  }
  for (const std::string& name : open) close_context(name, orders);
  close_if_over(orders);
}

void ElevenLabsMessages::idle(Orders& orders) {
  refuse("No text came within the timeout of " + std::to_string(settings_.inactivity_timeout_s) +
             " seconds; send a text, or an empty one to keep the connection.",
         "input_timeout_exceeded", orders);
}

void ElevenLabsMessages::audio(SpeechNumber speech, std::string_view audio, Orders& orders) {
  const Context* context = find(speech);
  if (context == nullptr) return;
  std::string encoded;
  append_base64(audio, encoded);
  json::object fields{{"audio", encoded},
                      {"isFinal", nullptr},
                      {"alignment", nullptr},
                      {"normalizedAlignment", nullptr}};
  if (settings_.multi) fields["contextId"] = context->name;
  orders.push_back(message(std::move(fields)));
}

void ElevenLabsMessages::ended(SpeechNumber speech, const SpeechSummary&, Orders& orders) {
  const Context* context = find(speech);
  if (context == nullptr) return;
  const std::string name = context->name;
  erase(*context);
  if (settings_.multi) send_final(name, orders);
  close_if_over(orders);
}

void ElevenLabsMessages::failed(SpeechNumber speech, const Error& error, Orders& orders) {
  const Context* context = find(speech);
  if (context == nullptr) return;
  const CloseCode code = close_code(error);
  json::object fields{{"message", error.message},
                      {"error", error_code_name(error.code)},
                      {"code", static_cast<int>(code)}};
  if (settings_.multi) fields["contextId"] = context->name;
  orders.push_back(message(std::move(fields)));
  erase(*context);
  if (!settings_.multi) {
    orders.push_back(CloseSocket{code, error.message});
  } else {
    close_if_over(orders);
  }
}

void ElevenLabsMessages::send_final(const std::string& name, Orders& orders) {
  json::object fields{{"isFinal", true}};
  if (settings_.multi) {
    fields["contextId"] = name;
  } else {
    fields["audio"] = nullptr;
  }
  orders.push_back(message(std::move(fields)));
}

void ElevenLabsMessages::close_if_over(Orders& orders) {
  if (!last_ || !contexts_.empty()) return;
  if (!settings_.multi) send_final("", orders);
  orders.push_back(CloseSocket{CloseCode::kNormal, "all is spoken"});
}

void ElevenLabsMessages::refuse(const std::string& text, const std::string& code, Orders& orders) {
  orders.push_back(message(
      {{"message", text}, {"error", code}, {"code", static_cast<int>(CloseCode::kPolicy)}}));
  orders.push_back(CloseSocket{CloseCode::kPolicy, text});
}

ElevenLabsMessages::Context* ElevenLabsMessages::find(std::string_view name, bool closing) {
  const auto found = std::find_if(contexts_.begin(), contexts_.end(), [&](const Context& context) {
    return context.name == name && context.closing == closing;
  });
  return found == contexts_.end() ? nullptr : &*found;
}

ElevenLabsMessages::Context* ElevenLabsMessages::find(SpeechNumber speech) {
  const auto found = std::find_if(contexts_.begin(), contexts_.end(),
                                  [&](const Context& context) { return context.speech == speech; });
  return found == contexts_.end() ? nullptr : &*found;
}

void ElevenLabsMessages::erase(const Context& context) {
  contexts_.erase(contexts_.begin() + (&context - contexts_.data()));
}

}  // namespace lyre::server
