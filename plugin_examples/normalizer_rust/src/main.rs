//! A plugin that caps what a request to the upstream says of thinking: the budget of tokens, and the level of effort.

use serde_json::{json, Map, Value};
use std::io::{self, BufRead, Write};

/// Where the upstreams' dialects say how much a model may think, as JSON Pointers.
const BUDGETS: [&str; 2] = [
    "/thinking/budget_tokens",
    "/generationConfig/thinkingConfig/thinkingBudget",
];
const EFFORTS: [&str; 3] = ["/reasoning_effort", "/reasoning/effort", "/output_config/effort"];

fn main() -> io::Result<()> {
    let mut config = Value::Null;
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        let id = match asked.get("id") {
            Some(id) => id,
            None => continue, // a notification
        };
        let mut reply = json!({"jsonrpc": "2.0", "id": id});
        match asked["method"].as_str().unwrap_or_default() {
            "plugin.register" => {
                config = asked["params"]["config"].clone();
                reply["result"] = json!({
                    "schema_version": 1,
                    "plugin": {"name": "thinking_cap_rust", "version": "1.0.0"},
                    "hooks": {"request.normalize": {"needs": ["body"]}},
                });
            }
            "request.normalize" => reply["result"] = normalize(&asked["params"]["attempt"]["body"], &config),
            "plugin.shutdown" => reply["result"] = Value::Null,
            method => reply["error"] = json!({"code": -32601, "message": method}),
        }
        out.write_all(format!("{}\n", reply).as_bytes())?;
        out.flush()?;
    }
    Ok(())
}

/// Returns what is to be changed in a body, or null. All else keeps its bytes.
fn normalize(body: &Value, config: &Value) -> Value {
    let (mut set, mut remove) = (Map::new(), Vec::new());
    let most = &config["max_budget"];
    for pointer in BUDGETS {
        if let (Some(budget), Some(limit)) = (body.pointer(pointer).and_then(Value::as_f64), most.as_f64()) {
            if limit > 0.0 && budget > limit {
                set.insert(pointer.to_string(), most.clone());
            }
        }
    }
    for pointer in EFFORTS {
        let level = body.pointer(pointer).and_then(Value::as_str);
        match level.and_then(|level| config["efforts"].get(level)) {
            Some(Value::Null) => remove.push(pointer),
            Some(instead) => drop(set.insert(pointer.to_string(), instead.clone())),
            None => {}
        }
    }
    if set.is_empty() && remove.is_empty() {
        return Value::Null;
    }
    json!({"set": set, "remove": remove})
}
