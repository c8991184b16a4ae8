// Regular expressions as tokenizer.json writes them. The `tokenizers` library runs them with Oniguruma (Ruby syntax,
// Unicode 16); here they are translated to PCRE2 (regex_syntax.h) and run by its JIT compiler. A pattern that cannot be
// translated faithfully is refused with the construct's name. Matching has bounded memory, backtracking and time;
// beyond the bounds it is an error.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pkv::text {

struct Match {
  std::size_t begin, end;
};

class Regex {
 public:
  // `where` names the pattern in errors: "tokenizer.json: pre_tokenizer.pattern.Regex". Error::load when refused.
  static Regex compile(std::string_view pattern, std::string_view where);
  static Regex literal(std::string_view text);  // matches just this text
  static Regex words_of_rust();                 // \w+|[^\w\s]+ as Rust's regex crate understands it
  static Regex one_word_character();            // \w, likewise

  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  class Matcher;

 private:
  struct Program;  // compiled, of PCRE2

  Regex(const std::string& plain, const std::string& exact, std::string where);

  std::string where_;
  // `exact` knows the characters that Unicode added after PCRE2's tables; `plain` does not but is much faster. The
  // matcher takes `plain` for subjects without such characters, where both agree.
  std::unique_ptr<Program> plain_, exact_;
};

// Finds matches from left to right in one subject after another. For one thread at a time; make one per thread.
class Regex::Matcher {
 public:
  explicit Matcher(const Regex& regex);
  ~Matcher();
  Matcher(const Matcher&) = delete;
  Matcher& operator=(const Matcher&) = delete;

  void start(std::string_view subject);  // valid UTF-8, kept alive by the caller
  std::optional<Match> next();           // an empty match right behind the last one does not count

 private:
  struct Memory;  // what PCRE2 needs to run

  bool run();
  bool try_starts(std::size_t last);
  void look_at_clock(std::size_t starts);
  [[noreturn]] void give_up(const std::string& why) const;

  const Regex& regex_;
  std::unique_ptr<Memory> memory_;
  const Program* program_ = nullptr;
  std::string_view subject_;
  std::size_t at_ = 0;
  std::optional<std::size_t> last_end_;
  double steps_ = 0;  // that matching may have taken since the last look at the clock
  double allowed_seconds_;
  std::optional<double> began_;
};

}  // namespace pkv::text
