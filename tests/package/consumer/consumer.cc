// Another program that checks a model with pkv's libraries, as installed: consumer FOLDER, a bundled model's.
#include <checker/check/check.h>
#include <engine/model/model.h>
#include <subjects/engine.h>
#include <text/text.h>

#include <cstdio>
#include <exception>

int main(int, char** argv) try {
  const std::filesystem::path folder = argv[1];
  const auto ids = pkv::text::Tokenizer::load(folder).encode("I like to eat");
  pkv::subjects::EngineSubject subject(pkv::model::load(pkv::hf::Folder::open(folder), pkv::kernels::Backend("cpu", 2)),
                                       folder.filename().string());
  const pkv::check::Report report = pkv::check::run(subject, ids, {.text = "I like to eat"});
  const std::string page = pkv::show::as_html(pkv::check::document(report));
  if (page.find("</html>") == std::string::npos) return 1;
  std::printf("consumer: %s, %s: %s\n", report.subject.name.c_str(), report.subject.system.c_str(),
              pkv::check::name_of(report.verdict.outcome).c_str());
  return report.verdict.holds() ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
