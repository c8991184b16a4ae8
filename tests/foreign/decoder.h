// A foreign program: a small decoder with an arithmetic, a past and faults of its own, which shares no line with the
// engine. It plays what tools/record_transformers.py records: a model that is called with tokens and a past, changes
// that past in place, and takes masks and positions from its caller. Every fault is a hook that a healthy program
// leaves empty.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace pkv::foreign {

using Ids = std::vector<std::int32_t>;

// What values are rounded to after each operation, and what sums are added up in.
struct Format {
  std::string name = "fp32";  // as recordings say it
  int bits = 24;              // of the significand, the hidden one too
  int least_exponent = -126;  // of a normal number
  bool sums_in_double = false;

  double round(double x) const;
};

Format format_of(const std::string& name);  // fp64, fp32, bf16, fp16
Format wider(const Format& format);         // of twice the bits
double rounded(double x, int bits, int least_exponent);

struct Shape {
  int layers = 3, width = 24, heads = 4, kv_heads = 2, head_dim = 8, inner = 32, vocab = 41;
  std::vector<int> windows = {};      // of each layer, in keys; 0 or missing: none
  std::vector<bool> recurrent = {};   // layers that keep a state instead of keys
  int experts = 0, used_experts = 2;  // 0: a plain MLP
  double sharpness = 1.6;             // of queries and keys
  unsigned seed = 1;

  int window(int layer) const { return layer < static_cast<int>(windows.size()) ? windows[layer] : 0; }
  bool is_recurrent(int layer) const { return layer < static_cast<int>(recurrent.size()) && recurrent[layer]; }
};

// What one layer keeps of one text. Room for keys may be larger than what is filled.
struct Kept {
  std::vector<double> keys, values;  // [tokens, kv_heads, head_dim]
  std::vector<double> state;         // [width] of a recurrent layer
};

// The past of one text of a batch. Layers are shared where copies share them.
struct Line {
  std::int64_t length = 0;
  std::vector<std::shared_ptr<Kept>> layers;

  Line copy() const;
};

struct Past {
  std::vector<Line> lines;        // one for each text of the batch
  std::int64_t said_length = -1;  // what it says to hold; -1: what it holds

  std::int64_t length() const { return said_length >= 0 ? said_length : lines.empty() ? 0 : lines[0].length; }
};
using PastPtr = std::shared_ptr<Past>;

// One call, as hooks see it.
struct Call {
  int past = 0, rows = 1;
  bool continues = false;  // there is a past
  int off = 0;             // by which positions are off
  int number = 0;          // calls that continued a past before this one
  const Format* format = nullptr;

  int length() const { return past + rows; }
};

struct Fault {
  std::function<int(const Call&, int row)> position;
  // Whether the new token `row` sees key `key`; what a healthy one sees stands in `healthy`.
  std::function<bool(const Call&, int layer, int head, int row, int key, bool healthy)> sees;
  std::function<int(const Call&, int head)> group;                                 // key head that a query head reads
  std::function<double(const Call&)> scale;                                        // times the healthy one
  std::function<double(const Call&)> rotary_base;                                  // times the healthy one
  std::function<double(const Call&, bool query, double position)> angle_position;  // of new queries and keys
  std::function<void(const Call&, int layer, Kept&)> reads;  // what of the past is read: edits a copy
  std::function<void(const Call&, int layer, std::vector<double>& attended, int row)> attended;
  std::function<double(const Call&, int layer, int row, double)> gated;  // an element of the MLP
  std::function<void(const Call&, std::vector<double>& logits, int row)> logits;
  std::function<int(const Call&, int row)> most_of_expert;  // rows that an expert takes in a call
  std::function<bool(const Call&, int layer)> forgets_state;
  double (*format_of_past)(double x) = nullptr;
  bool rotary_interleaved = false;  // of new tokens after a past
  bool keeps_nothing = false;
  bool past_not_read = false;      // after a past the new tokens are a text of their own
  bool one_buffer = false;         // all texts keep their past in the same memory
  bool writes_into_older = false;  // a first call overwrites the last token of the past made before
  bool swaps_lines = false;        // of a batch that has a past
  bool copies_share = false;       // a copy of a past shares its memory
  bool crop_keeps_all = false;     // cropping does nothing
  bool keeps_order = false;        // nor does reordering
  int off_after_crop = 0;          // positions, once a past was cropped
  bool prefix_by_length = false;   // a first call's past is that of the first text that was as long
  bool state_in_module = false;    // states are kept by the program, not by the past
  bool outlier_columns_of_call = false;
  double dropout = 0;
  bool takes_masks = true, takes_positions = true;
};

// Of calls without a past whose first tokens are the same and see the same: what attention reads of them. The first
// such call fills it, those after it compute the other tokens alone.
struct SameStart {
  int rows = 0;
  std::vector<Kept> layers = {};
};

// What a caller hands over: whether a token at place q sees key k in a head of a layer, and each token's position.
struct Handed {
  std::function<bool(int layer, int head, int q, int k)> sees;
  std::function<int(int q)> position;
  // What a caller does to a call from within: edits keys and values on their way into attention, [tokens, kv_heads,
  // head_dim]; says which key head a query head of row q reads, and by what its scores are multiplied.
  std::function<void(int layer, std::vector<double>& keys, std::vector<double>& values)> edit;
  std::function<int(int q, int head)> group;
  std::function<double(int q)> scale;
  SameStart* start = nullptr;
};

struct Out {
  std::vector<std::vector<float>> logits;               // of each text: [rows, vocab]
  std::vector<std::vector<std::vector<float>>> hidden;  // of each text, as embedded and after each layer: [rows, width]
  PastPtr past;                                         // null where none is kept
  double least_gap = 1e9;                               // between the last expert taken and the next
};

class Program {
 public:
  Program(const Shape& shape, const std::string& format, Fault fault);

  // Texts of one length. A past that is handed over is changed in place and handed back.
  Out call(const std::vector<Ids>& texts, PastPtr past = nullptr, const Handed& handed = {});
  PastPtr copy(const PastPtr& past) const;              // as copy.deepcopy of a cache
  bool crop(const PastPtr& past, std::int64_t length);  // false where it cannot
  void reorder(const PastPtr& past) const;              // the two texts of a batch change places
  Program in_wider_format() const;

  const Shape& shape() const { return shape_; }
  const Format& format() const { return format_; }
  const Fault& fault() const { return fault_; }
  bool rows_depend_on_call() const;  // so that a call may not be computed in parts

 private:
  struct Layer {
    std::vector<double> norm, q, k, v, o, u, g, mlp_norm, router;
    std::vector<std::vector<double>> gate, up, down;  // one, or one for each expert
  };
  struct Weights {
    std::vector<double> embedding, norm, head;
    std::vector<Layer> layers;
  };

  void draw();
  std::vector<double> times(const std::vector<double>& w, const std::vector<double>& x, int rows, int out) const;
  std::vector<double> normed(const std::vector<double>& x, const std::vector<double>& weight, int rows) const;
  void rotate(std::vector<double>& x, int heads, int row, double position, const Call& call, bool neighbours) const;
  void text(const Ids& ids, Line& line, Call call, const Handed& handed, std::vector<float>& logits,
            std::vector<std::vector<float>>& hidden, double& gap);
  std::vector<double> attend(const Layer& w, int layer, const std::vector<double>& h, Line& line, const Call& call,
                             const Handed& handed);
  std::vector<double> recur(const Layer& w, int layer, const std::vector<double>& h, Line& line, const Call& call);
  std::vector<double> mlp(const Layer& w, int layer, const std::vector<double>& h, const Call& call, double& gap);
  double dot(const double* a, const double* b, int n, int rows) const;
  double kept(double x) const { return format_.round(x); }

  Shape shape_;
  Format format_;
  Fault fault_;
  Weights w_;
  int continued_ = 0;
  std::mt19937 dice_{7};
  PastPtr buffer_;
  std::weak_ptr<Past> older_;
  std::vector<std::pair<std::size_t, Past>> prefixes_;
  std::vector<std::vector<double>> states_;
  std::weak_ptr<Past> cropped_;
};

}  // namespace pkv::foreign
