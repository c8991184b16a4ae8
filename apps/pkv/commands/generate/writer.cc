#include "commands/generate/writer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "show/columns.h"
#include "terminal/progress.h"
#include "terminal/say.h"

namespace pkv::program {
namespace {

constexpr std::size_t kEchoed = 400;  // bytes of the prompt shown on a terminal: its end

bool terminal(int descriptor) { return isatty(descriptor) != 0; }

// Control characters could move the cursor or change colours.
std::string for_terminal(std::string_view text) {
  std::string shown;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of("\n\t", at), text.size());
    shown += show::printable(text.substr(at, end - at));
    if (end < text.size()) shown += text[end];
    at = end + 1;
  }
  return shown;
}

std::string_view tail(std::string_view text) {
  if (text.size() <= kEchoed) return text;
  text.remove_prefix(text.size() - kEchoed);
  while (!text.empty() && (text.front() & 0xC0) == 0x80) text.remove_prefix(1);
  return text;
}

std::string header(std::size_t sequence, std::size_t of, std::uint64_t seed) {
  return fmt::format("── {} of {} · seed {}\n", sequence + 1, of, seed);
}

std::string_view reason(const generate::Sequence& s) {
  switch (s.finish) {
    case generate::Finish::length:
      return "token limit";
    case generate::Finish::eos:
      return "end of text";
    case generate::Finish::stop:
      return "stop text";
    case generate::Finish::interrupted:
      return "interrupted";
  }
  return "";
}

}  // namespace

Writer::Writer(const text::Tokenizer* tokenizer, const Writing& writing, const OutputOptions& output)
    : tokenizer_(tokenizer), writing_(writing), output_(output), to_stdout_(output.file.empty()) {}

// The first token has been chosen, or never will be: until then nobody knows that the options make sense, and the line
// belongs to the progress bar.
void Writer::begin() {
  if (begun_) return;
  begun_ = true;
  const std::string prompt = writing_.prompt.value_or("");
  for (std::int64_t i = 0; i < writing_.options.num_sequences; ++i) {
    Written& written = written_.emplace_back(Written{{}, generate::StopText(writing_.stop, prompt), {}});
    if (tokenizer_ == nullptr) continue;
    written.stream.emplace(*tokenizer_, true);
    for (const std::int32_t id : writing_.ids) written.stream->push(id);
  }
  if (output_.is(Form::json) || !to_stdout_) return;
  if (written_.size() > 1) output_.write(header(0, written_.size(), writing_.options.sampling.seed));
  if (!terminal(STDOUT_FILENO) || !terminal(STDERR_FILENO)) return;
  const std::string_view shown = tail(prompt);
  const bool colour = output_.colour();
  clear_progress();
  say(fmt::format("{}{}{}{}", colour ? "\033[2m" : "", shown.size() < prompt.size() ? "…" : "", for_terminal(shown),
                  colour ? "\033[0m" : ""));
}

std::string Writer::piece(Written& written, std::int32_t id) {
  if (written.stream) return written.stream->push(id);
  return fmt::format("{}{}", written.text.empty() ? "" : ",", id);
}

void Writer::append(Written& written, const std::string& text) {
  written.text += text;
  if (&written != written_.data() || output_.is(Form::json) || !to_stdout_ || text.empty()) return;
  output_.write(terminal(STDOUT_FILENO) ? for_terminal(text) : text);
}

void Writer::end(Written& written) {
  if (written.ended) return;
  written.ended = true;
  if (written.stream) append(written, written.stop.push(written.stream->finish()));
  append(written, written.stop.finish());
}

bool Writer::add(const generate::Token& token) {
  begin();
  Written& written = written_[static_cast<std::size_t>(token.sequence)];
  append(written, written.stop.push(piece(written, token.id)));
  if (token.last) end(written);
  return !written.stop.found();
}

std::string Writer::text_of(std::size_t sequence) const {
  const std::string& text = written_[sequence].text;
  return text.ends_with('\n') ? text : text + "\n";
}

void Writer::finish(const model::Model& model, const std::string& name, const generate::Result& result) {
  begin();
  for (Written& written : written_) end(written);
  if (output_.is(Form::json)) {
    output_.write(json(model, name, result));
    return;
  }
  std::string rest;
  for (std::size_t i = 0; i < written_.size(); ++i) {
    if (written_.size() > 1 && (i > 0 || !to_stdout_)) rest += header(i, written_.size(), result.sequences[i].seed);
    if (i > 0 || !to_stdout_) {
      rest += text_of(i);
    } else if (!written_[i].text.ends_with('\n')) {
      rest += "\n";
    }
  }
  output_.write(to_stdout_ && terminal(STDOUT_FILENO) ? for_terminal(rest) : rest);
  summarise(result);
}

void Writer::summarise(const generate::Result& result) const {
  std::size_t tokens = 0;
  for (const generate::Sequence& s : result.sequences) tokens += s.ids.size();
  std::string line = fmt::format("{} + {} tokens in {:.2f} s", result.prompt_tokens, tokens, result.seconds);
  const double first = tokens > 0 ? result.sequences[0].seconds[0] : 0;
  if (tokens > 0) line += fmt::format(" · first after {:.0f} ms", 1e3 * first);
  if (tokens > written_.size() && result.seconds > first) {
    const auto after = static_cast<double>(tokens - written_.size());
    line += fmt::format(", then {:.4g} tokens/s", after / (result.seconds - first));
  }
  if (written_.size() == 1) line += fmt::format(" · {}", reason(result.sequences[0]));
  if (writing_.options.sampling.do_sample) line += fmt::format(" · seed {}", writing_.options.sampling.seed);
  const bool colour = output_.colour() && terminal(STDERR_FILENO);
  say(fmt::format("{}{}{}\n", colour ? "\033[2m" : "", line, colour ? "\033[0m" : ""));
}

}  // namespace pkv::program
