#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>
#include <time.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/json_node.h"
#include "base/utf8.h"
#include "text/properties.h"
#include "text/regex_syntax.h"

namespace pkv::text {
namespace {

// Steps of backtracking from one start. The patterns of real tokenizers need a handful, save for a run of a million
// spaces or the like, where they need a few for each.
constexpr std::uint32_t kMostSteps = 50'000'000;
// A pattern may still take a time quadratic in the text, a little from every start. So starts are tried in batches, and
// once enough of them could have been slow, the processor time spent is looked at. No text of a sane pattern comes
// near.
constexpr std::size_t kLeastStartsAtOnce = 256, kStepsAtOnce = std::size_t{1} << 32;
constexpr double kStepsBetweenLooks = 1 << 28;
constexpr double kMostSeconds = 4, kMostSecondsPerByte = 2e-6;
constexpr std::size_t kFirstStack = 64 << 10, kMostStack = 64 << 20;  // of the JIT code
constexpr std::uint32_t kMostHeapKiB = 256 << 10;                     // of the interpreter, where there is no JIT

double thread_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

std::string message_of(int code) {
  unsigned char text[256] = {};
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct Regex::Program {
  pcre2_code* code = nullptr;
  bool jit = false;

  Program(const std::string& pattern, std::string_view where) {
    pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    int error = 0;
    PCRE2_SIZE offset = 0;
    // Ruby's ^ and $ always match at line ends. A pattern cannot switch UTF off or raise limits: the translation has
    // no (*...).
    code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                         PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT,
                         &error, &offset, context);
    pcre2_compile_context_free(context);
    if (code == nullptr) {
      fail_load(
          {.what = "regular expression: " + message_of(error), .where = std::string(where), .found = quote(pattern)});
    }
    jit = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
  }
  ~Program() { pcre2_code_free(code); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
};

Regex::Regex(const std::string& plain, const std::string& exact, std::string where)
    : where_(std::move(where)),
      plain_(std::make_unique<Program>(plain, where_)),
      exact_(exact == plain ? nullptr : std::make_unique<Program>(exact, where_)) {}

Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Regex Regex::compile(std::string_view pattern, std::string_view where) {
  const Translated t = translate_regex(pattern, where);
  return Regex(t.plain, t.exact, std::string(where));
}

Regex Regex::literal(std::string_view text) {
  const std::string pattern = escape_regex(text);
  return Regex(pattern, pattern, "literal pattern");
}

Regex Regex::words_of_rust() {
  const Property word = word_of_rust();
  const auto pattern = [](const std::string& items) { return fmt::format("[{0}]+|[^{0}\\p{{White_Space}}]+", items); };
  return Regex(pattern(word.items), pattern(word.items + word.added), "Whitespace");
}

Regex Regex::one_word_character() {
  const Property word = word_of_rust();
  return Regex("[" + word.items + "]", "[" + word.items + word.added + "]", "single_word");
}

struct Regex::Matcher::Memory {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);  // only the whole match is asked for
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = nullptr;

  Memory() {
    pcre2_set_match_limit(context, kMostSteps);
    pcre2_set_heap_limit(context, kMostHeapKiB);
  }
  ~Memory() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // JIT code starts on 32 KiB of the thread's stack; only subjects that need more pay for more.
  bool grow_stack() {
    if (stack != nullptr) return false;
    stack = pcre2_jit_stack_create(kFirstStack, kMostStack, nullptr);
    pcre2_jit_stack_assign(context, nullptr, stack);
    return stack != nullptr;
  }
};

Regex::Matcher::Matcher(const Regex& regex)
    : regex_(regex), memory_(std::make_unique<Memory>()), allowed_seconds_(kMostSeconds) {}
Regex::Matcher::~Matcher() = default;

void Regex::Matcher::start(std::string_view subject) {
  subject_ = subject;
  at_ = 0;
  last_end_.reset();
  allowed_seconds_ += kMostSecondsPerByte * static_cast<double>(subject.size());
  program_ = regex_.exact_ && has_added_characters(subject) ? regex_.exact_.get() : regex_.plain_.get();
}

// Looks for a match that starts between at_ and `last`; one is left in memory_.
bool Regex::Matcher::try_starts(std::size_t last) {
  const auto* text = reinterpret_cast<PCRE2_SPTR>(subject_.data());
  const auto match = program_->jit ? pcre2_jit_match : pcre2_match;
  pcre2_set_offset_limit(memory_->context, last);
  const int rc = match(program_->code, text, subject_.size(), at_, PCRE2_NO_UTF_CHECK, memory_->data, memory_->context);
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT && memory_->grow_stack()) return try_starts(last);
  if (rc == PCRE2_ERROR_NOMATCH) return false;
  if (rc < 0) give_up(message_of(rc));
  return true;
}

bool Regex::Matcher::run() {
  while (true) {
    const std::size_t starts = std::max(kLeastStartsAtOnce, kStepsAtOnce / (subject_.size() - at_ + 1));
    const std::size_t last = std::min(at_ + starts, subject_.size());
    const bool found = try_starts(last);
    const std::size_t tried = (found ? pcre2_get_ovector_pointer(memory_->data)[0] : last) - at_ + 1;
    look_at_clock(tried);
    if (found || last == subject_.size()) return found;
    at_ = last + 1;
    while (at_ < subject_.size() && (static_cast<unsigned char>(subject_[at_]) & 0xc0) == 0x80) ++at_;
  }
}

void Regex::Matcher::look_at_clock(std::size_t starts) {
  steps_ += static_cast<double>(starts) * static_cast<double>(subject_.size() - at_);
  if (steps_ < kStepsBetweenLooks) return;
  steps_ = 0;
  const double now = thread_seconds();
  if (!began_) began_ = now;
  if (now - *began_ > allowed_seconds_) give_up("it takes too long");
}

void Regex::Matcher::give_up(const std::string& why) const {
  fail_load({.what = "regular expression: matching was given up: " + why,
             .where = regex_.where_,
             .found = fmt::format("a text of {} bytes, at offset {}", subject_.size(), at_),
             .hint = "the pattern backtracks too much; rewrite it, or feed the text in smaller parts"});
}

// The steps of Oniguruma's find_iter: after an empty match right behind the last one, search on from the next
// character.
std::optional<Match> Regex::Matcher::next() {
  while (at_ <= subject_.size()) {
    if (!run()) break;
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(memory_->data);
    const Match m{range[0], range[1]};
    if (m.begin == m.end && last_end_ == m.end) {
      at_ += at_ < subject_.size() ? decode_at(subject_, at_).size : 1;
      continue;
    }
    at_ = m.end;
    last_end_ = m.end;
    return m;
  }
  at_ = subject_.size() + 1;
  return std::nullopt;
}

}  // namespace pkv::text
